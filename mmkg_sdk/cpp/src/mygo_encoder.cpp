// MyGO's entities from tokens, by its token tables.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "layer_rest.hpp"
#include "mygo.hpp"
#include "text.hpp"
#include "weights.hpp"

namespace mmkg::internal {
namespace {

// As numpy's mean along the first axis: rows are added in their order in float32, the sum is divided once.
std::vector<float> mean_row(const Tensor &rows) {
    const auto width = static_cast<size_t>(rows.shape[1]);
    std::vector<float> mean(width, 0.0F), row(width);
    for (int64_t i = 0; i < rows.shape[0]; ++i) {
        std::memcpy(row.data(), rows.data + static_cast<size_t>(i) * width * sizeof(float), width * sizeof(float));
        for (size_t j = 0; j < width; ++j) mean[j] += row[j];
    }
    for (float &number : mean)
        number = static_cast<float>(static_cast<double>(number) / static_cast<double>(rows.shape[0]));
    return mean;
}

// Tokens of all entities, padded to one length.
struct Padded {
    std::vector<int64_t> tokens;
    std::vector<uint8_t> mask;
    int64_t count = 1;  // of an entity, at least one
};

Padded padded(const std::vector<EntityTokens> &entities, std::vector<int64_t> EntityTokens::*kind,
              const std::string &name, int64_t rows, int64_t most) {
    Padded all;
    for (const EntityTokens &entity : entities)
        all.count = std::max(all.count, static_cast<int64_t>((entity.*kind).size()));
    if (all.count > most) {
        throw Error(Fault::query, grouped(all.count) + " " + name + " tokens; an entity has at most " + grouped(most) +
                                      ". Leave some out.");
    }
    all.tokens.assign(entities.size() * static_cast<size_t>(all.count), 0);
    all.mask.assign(all.tokens.size(), 1);
    for (size_t i = 0; i < entities.size(); ++i) {
        const std::vector<int64_t> &given = entities[i].*kind;
        for (size_t slot = 0; slot < given.size(); ++slot) {
            if (given[slot] < 0 || given[slot] >= rows) {
                throw Error(Fault::query, name + " token " + std::to_string(given[slot]) + " (entity " +
                                              std::to_string(i) + ", slot " + std::to_string(slot) +
                                              ") is not in the codebook of " + grouped(rows) + ".");
            }
            all.tokens[i * static_cast<size_t>(all.count) + slot] = given[slot];
            all.mask[i * static_cast<size_t>(all.count) + slot] = 0;
        }
    }
    return all;
}

}  // namespace

TokenEncoder::TokenEncoder(const Opened &opened, mmkg_pool *pool)
    : opened_(opened), mean_structure_(mean_row(opened.inputs.at("structure"))) {
    Weights weights(opened.weights, TOKEN_TABLE_GRAPH);
    std::set<std::string> names{"structure.norm.weight",
                                "structure.norm.bias",
                                "structure.type_vector",
                                "logit_weight",
                                "logits",
                                "multiplied_values",
                                "value.multiplied_weight",
                                "value.bias",
                                "pooled",
                                "pooled_logits",
                                "pooled_value"};
    names.insert(std::begin(LAYER_REST), std::end(LAYER_REST));
    if (weights.has("head_of_column")) names.insert("head_of_column");  // of the graph alone
    weights.expect(names);
    mmkg_token_table_weights described{};
    const int64_t rows = weights.axis("logits", 0), heads = weights.axis("logits", 1);
    width_ = weights.axis("rest.hidden.multiplied_weight", 0);
    const int64_t hidden = weights.axis("rest.hidden.multiplied_weight", 1);
    described.width = width_, described.heads = heads, described.feedforward_width = hidden;
    described.visual_rows = std::min(rows, opened.config().size("visual_codebook_rows"));
    described.text_rows = rows - described.visual_rows;
    described.norm_epsilon = NORM_EPSILON;
    described.structure_norm_weight = weights.float32("structure.norm.weight", {width_});
    described.structure_norm_bias = weights.float32("structure.norm.bias", {width_});
    described.type_vector = weights.float32("structure.type_vector", {width_});
    described.logit_weight = weights.float32("logit_weight", {width_, heads});
    described.logits = weights.float32("logits", {rows, heads});
    described.values = weights.float32("multiplied_values", {rows, width_});
    described.value_weight = weights.float32("value.multiplied_weight", {width_, width_});
    described.value_bias = weights.float32("value.bias", {width_});
    described.pooled = weights.float32("pooled", {width_});
    described.pooled_logits = weights.float32("pooled_logits", {heads});
    described.pooled_value = weights.float32("pooled_value", {width_});
    add_layer_rest(weights, "", width_, hidden, described);
    mmkg_token_table *handle = nullptr;
    check(mmkg_token_table_open(&described, MMKG_FLOAT32, MMKG_BEST, pool, &handle), TOKEN_TABLE_GRAPH);
    encoder_.reset(handle);
}

std::vector<float> TokenEncoder::encode(const std::vector<EntityTokens> &entities) const {
    if (entities.empty()) return {};
    const Config &config = opened_.config();
    if (config.modalities.size() > 2) {
        throw Error(Fault::query, "this model has tokens of " + config.modalities[2] +
                                      ", too, which EntityTokens does not hold. Encode in Python.");
    }
    const std::map<std::string, int64_t> &most = opened_.manifest.largest;
    const Padded visual = padded(entities, &EntityTokens::visual, "visual", config.size("visual_codebook_rows"),
                                 most.at("visual_tokens"));
    const Padded text =
        padded(entities, &EntityTokens::text, "text", config.size("text_codebook_rows"), most.at("text_tokens"));
    const auto width = static_cast<size_t>(width_);
    std::vector<float> structure;
    for (size_t i = 0; i < entities.size(); ++i) {
        const std::vector<float> &given = entities[i].structure.empty() ? mean_structure_ : entities[i].structure;
        const bool finite = std::all_of(given.begin(), given.end(), [](float number) { return std::isfinite(number); });
        if (given.size() != width || !finite) {
            throw Error(Fault::query, "structure of entity " + std::to_string(i) + " has " +
                                          std::to_string(given.size()) + " numbers; expected " + std::to_string(width) +
                                          " finite ones.");
        }
        structure.insert(structure.end(), given.begin(), given.end());
    }
    std::vector<float> vectors(structure.size());
    check(mmkg_token_table_encode(encoder_.get(), static_cast<int64_t>(entities.size()), structure.data(),
                                  visual.tokens.data(), visual.mask.data(), visual.count, text.tokens.data(),
                                  text.mask.data(), text.count, vectors.data()),
          TOKEN_TABLE_GRAPH);
    return vectors;
}

}  // namespace mmkg::internal
