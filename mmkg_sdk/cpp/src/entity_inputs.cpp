#include "entity_inputs.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "text.hpp"

namespace mmkg::internal {
namespace {

// Of the first rows, as numpy's mean along the first axis: added in their order in float32, the sum is divided once.
std::vector<float> mean_row(const Tensor &rows, int64_t count) {
    const auto width = static_cast<size_t>(rows.shape[1]);
    std::vector<float> mean(width, 0.0F), row(width);
    for (int64_t i = 0; i < count; ++i) {
        std::memcpy(row.data(), rows.data + static_cast<size_t>(i) * width * sizeof(float), width * sizeof(float));
        for (size_t j = 0; j < width; ++j) mean[j] += row[j];
    }
    for (float &number : mean)
        number = static_cast<float>(static_cast<double>(number) / static_cast<double>(count));
    return mean;
}

void check_floats(const std::string &name, size_t entity, const std::vector<float> &given, size_t width) {
    const bool finite = std::all_of(given.begin(), given.end(), [](float number) { return std::isfinite(number); });
    if (given.size() == width && finite) return;
    throw Error(Fault::query, name + " of entity " + std::to_string(entity) + " has " + std::to_string(given.size()) +
                                  " numbers" + (finite ? "" : ", NaN or infinity among them") + "; expected " +
                                  std::to_string(width) + " finite ones.");
}

}  // namespace

EntityInputs::EntityInputs(const Opened &opened)
    : opened_(opened), mean_structure_(mean_row(opened.inputs.at("structure"), opened.manifest.trained_entities)) {}

std::vector<float> EntityInputs::structure(const std::vector<const std::vector<float> *> &given) const {
    if (const std::vector<std::string> &modalities = opened_.config().modalities; modalities.size() > 2) {
        throw Error(Fault::query, "this model has the modality " + modalities[2] +
                                      ", too, which cannot be given here. Encode in Python.");
    }
    std::vector<float> rows;
    for (size_t i = 0; i < given.size(); ++i) {
        const std::vector<float> &row = given[i]->empty() ? mean_structure_ : *given[i];
        check_floats("structure", i, row, mean_structure_.size());
        rows.insert(rows.end(), row.begin(), row.end());
    }
    return rows;
}

PaddedTokens EntityInputs::tokens(const std::string &modality,
                                  const std::vector<const std::vector<int64_t> *> &given) const {
    const int64_t rows = opened_.config().sizes.at(modality + "_codebook_rows");
    const int64_t most = opened_.manifest.largest.at(modality + "_tokens");
    PaddedTokens all;
    for (const std::vector<int64_t> *one : given) all.count = std::max(all.count, static_cast<int64_t>(one->size()));
    if (all.count > most) {
        throw Error(Fault::query, grouped(all.count) + " " + modality + " tokens; an entity has at most " +
                                      grouped(most) + ". Leave some out.");
    }
    const auto count = static_cast<size_t>(all.count);
    all.tokens.assign(given.size() * count, 0);
    all.mask.assign(all.tokens.size(), 1);
    for (size_t i = 0; i < given.size(); ++i) {
        for (size_t slot = 0; slot < given[i]->size(); ++slot) {
            const int64_t token = (*given[i])[slot];
            if (token < 0 || token >= rows) {
                throw Error(Fault::query, modality + " token " + std::to_string(token) + " (entity " +
                                              std::to_string(i) + ", slot " + std::to_string(slot) +
                                              ") is not in the codebook of " + grouped(rows) + ".");
            }
            all.tokens[i * count + slot] = token, all.mask[i * count + slot] = 0;
        }
    }
    return all;
}

FeatureRows EntityInputs::features(const std::string &modality,
                                   const std::vector<const std::vector<float> *> &given) const {
    const bool masked = opened_.config().names.at("missing_modalities") == "mask";
    FeatureRows all;
    all.width = opened_.config().sizes.at(modality + "_feature_width");
    const auto width = static_cast<size_t>(all.width);
    for (size_t i = 0; i < given.size(); ++i) {
        const bool missing = given[i]->empty();
        all.mask.push_back(missing && masked ? 1 : 0);
        if (missing) {
            all.features.resize(all.features.size() + width, 0.0F);
            continue;
        }
        check_floats(modality + " features", i, *given[i], width);
        all.features.insert(all.features.end(), given[i]->begin(), given[i]->end());
    }
    return all;
}

}  // namespace mmkg::internal
