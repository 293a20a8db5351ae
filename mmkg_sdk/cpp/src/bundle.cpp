#include "mmkg/bundle.hpp"

#include <cstring>

#include "guarded.hpp"
#include "opened.hpp"
#include "text.hpp"

namespace mmkg {
namespace {

namespace fs = std::filesystem;
using namespace internal;

Keep kept(const std::string &name) {
    const fs::path file(name);
    if (file.extension() == ".safetensors") return name == "probes.safetensors" ? Keep::nothing : Keep::map;
    return file.extension() == ".txt" ? Keep::copy : Keep::nothing;
}

int64_t number_at(const Tensor &tensor, int64_t place) {
    int64_t number = 0;
    std::memcpy(&number, tensor.data + static_cast<size_t>(place) * sizeof number, sizeof number);
    return number;
}

Labels labels_of(const fs::path &path, const Content &content, const char *kind, int64_t count) {
    Labels labels(std::string(content.view()), path.string(), kind);
    if (labels.size() != count) {
        throw Error(Fault::bundle, path.string() + " has " + std::to_string(labels.size()) +
                                       " labels, but the configuration in bundle.json says " + std::to_string(count) +
                                       ". Export again.");
    }
    return labels;
}

// Whether every triple names entities and relations that there are.
void check_triples(const std::string &path, const Tensors &splits, const Config &config) {
    const int64_t entities = config.size("num_entities"), relations = config.size("num_relations");
    for (const char *split : SPLITS) {
        const Tensor &triples = splits.at(split);
        for (int64_t i = 0; i < triples.shape[0]; ++i) {
            const int64_t head = number_at(triples, 3 * i), relation = number_at(triples, 3 * i + 1),
                          tail = number_at(triples, 3 * i + 2);
            const bool inside =
                head >= 0 && head < entities && relation >= 0 && relation < relations && tail >= 0 && tail < entities;
            if (inside) continue;
            throw Error(Fault::bundle, path + ": triple " + std::to_string(i) + " of " + split + " is [" +
                                           std::to_string(head) + ", " + std::to_string(relation) + ", " +
                                           std::to_string(tail) + "]; out of range.");
        }
    }
}

// What shapes and dtypes do not tell of MyGO: masks as wide as their tokens, tokens within the codebooks.
void check_tokens(const std::string &folder, const Opened &opened) {
    for (const std::string modality : {"visual", "text"}) {
        if (opened.manifest.largest.count(modality + "_tokens") == 0) {
            throw Error(Fault::bundle,
                        folder + ": graph entity_encoder has no axis " + modality + "_tokens. Export again.");
        }
        const Tensor &tokens = opened.inputs.at(modality + "_tokens"), &mask = opened.inputs.at(modality + "_mask");
        const std::string place = folder + "/inputs.safetensors: " + modality;
        if (mask.shape != tokens.shape) {
            throw Error(Fault::bundle,
                        place + "_mask is " + mask.described() + ", as wide as its tokens it should be. Export again.");
        }
        const int64_t rows = opened.config().sizes.at(modality + "_codebook_rows");
        for (int64_t i = 0; i < tokens.count(); ++i) {
            if (number_at(tokens, i) < 0 || number_at(tokens, i) >= rows) {
                throw Error(Fault::bundle,
                            place + "_tokens holds a row that the codebook does not have. Export again.");
            }
        }
    }
}

// Whether the weights are those of the configuration; no number is read.
void check_weights(const std::string &path, const Opened &opened) {
    const std::string &precision = opened.manifest.precision;
    const Dtype multiplied = precision == "fp16"   ? Dtype::float16
                             : precision == "bf16" ? Dtype::bfloat16
                                                   : Dtype::float32;
    for (const auto &[name, shape] : opened.manifest.contents.weights) {
        const auto found = opened.weights.find(name);
        if (found == opened.weights.end() || found->second.shape != shape) {
            const std::string expected = Tensor{Dtype::float32, shape, nullptr}.described().substr(8);
            throw Error(Fault::bundle,
                        path + ": " + name + " is " +
                            (found == opened.weights.end()
                                 ? "missing"
                                 : found->second.described().substr(std::strlen(name_of(found->second.dtype)) + 1)) +
                            "; by the configuration " + expected + ". Export the bundle again.");
        }
        if (name.find("multiplied_") != std::string::npos && found->second.dtype != multiplied) {
            throw Error(Fault::bundle, path + ": " + name + " is " + name_of(found->second.dtype) + " in a bundle in " +
                                           precision + ". Export the bundle again.");
        }
    }
}

std::shared_ptr<const Opened> opened_bundle(const fs::path &folder, bool follow_links) {
    Manifest manifest = read_manifest(folder, follow_links);
    std::map<std::string, Content> files;
    for (const auto &[name, entry] : manifest.files) {
        files[name] = read_verified(folder / name, entry.bytes, entry.sha256, kept(name), follow_links);
    }
    const auto labels = [&](const char *name, const char *kind) {
        const std::string file = std::string(name) + ".txt";
        return labels_of(folder / file, files[file], kind, manifest.contents.labels[name]);
    };
    Labels entities = labels("entities", "entity"), relations = labels("relations", "relation");
    files.erase("entities.txt"), files.erase("relations.txt");  // the labels have copies of them
    const auto tensors = [&](const std::string &name) {
        const std::string file = name + ".safetensors", path = (folder / file).string();
        Tensors found = read_tensors(path, files[file].view());
        if (manifest.contents.tensors.count(name) != 0) check_tensors(path, found, manifest.contents.tensors[name]);
        return found;
    };
    Tensors table = tensors("table"), inputs = tensors("inputs"), triples = tensors("triples");
    check_triples((folder / "triples.safetensors").string(), triples, manifest.config);
    Tensors weights = tensors("weights");
    Opened opened{folder.string(),  std::move(manifest), std::move(entities), std::move(relations), std::move(files),
                  std::move(table), std::move(inputs),   std::move(triples),  std::move(weights)};
    if (opened.config().family == Family::mygo) check_tokens(folder.string(), opened);
    check_weights((folder / "weights.safetensors").string(), opened);
    return std::make_shared<const Opened>(std::move(opened));
}

}  // namespace

Bundle::Bundle(const fs::path &folder, bool follow_links) {
    guarded([&] { opened_ = opened_bundle(folder, follow_links); });
}

const std::string &Bundle::family() const noexcept { return opened_->manifest.family; }

const std::string &Bundle::precision() const noexcept { return opened_->manifest.precision; }

Labels Bundle::entities() const noexcept { return opened_->entities; }

Labels Bundle::relations() const noexcept { return opened_->relations; }

}  // namespace mmkg
