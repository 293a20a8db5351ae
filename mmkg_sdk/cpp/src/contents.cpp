#include "contents.hpp"

#include <algorithm>

namespace mmkg::internal {
namespace {

constexpr int64_t ANY = -1;

// The token-table encoder is exact for one layer only.
void add_mygo(const Config &config, Contents &contents) {
    const int64_t entities = config.size("num_entities"), width = config.table_width();
    contents.tensors["table"] = {{"vectors", {Dtype::float32, {entities, width}}}};
    contents.tensors["inputs"] = {{"structure", {Dtype::float32, {entities, width}}}};
    int64_t rows = 0;
    for (const std::string &modality : config.modalities) {
        contents.tensors["inputs"][modality + "_tokens"] = {Dtype::int64, {entities, ANY}};
        contents.tensors["inputs"][modality + "_mask"] = {Dtype::boolean, {entities, ANY}};
        rows += config.sizes.at(modality + "_codebook_rows");
    }
    const auto last = [&](const char *graph, const char *layers) {
        return std::string(graph) + ".layers." + std::to_string(config.size(layers) - 1) +
               ".rest.hidden.multiplied_weight";
    };
    const std::vector<int64_t> hidden{width, config.size("feedforward_dim")};
    contents.weights = {{"entity_encoder.multiplied_table", {rows, width}},
                        {last("entity_encoder", "num_entity_layers"), hidden},
                        {last("query_encoder", "num_decoder_layers"), hidden},
                        {"query_encoder.relations", {config.size("num_relations"), width}}};
    if (config.size("num_entity_layers") == 1) {
        contents.graphs.emplace_back(TOKEN_TABLE_GRAPH);
        contents.weights[std::string(TOKEN_TABLE_GRAPH) + ".pooled_logits"] = {1, config.size("num_heads")};
    }
}

void add_adamf_mat(const Config &config, Contents &contents) {
    const int64_t entities = config.size("num_entities"), width = config.table_width();
    const auto vectors = static_cast<int64_t>(1 + config.modalities.size());
    contents.tensors["table"] = {{"vectors", {Dtype::float32, {entities, width}}},
                                 {"modality_weights", {Dtype::float32, {entities, vectors}}}};
    contents.tensors["inputs"] = {{"structure", {Dtype::float32, {entities, width}}}};
    contents.weights = {{"query_encoder.rotations", {config.size("num_relations"), width}}};
    for (size_t place = 0; place < config.modalities.size(); ++place) {
        const std::string &modality = config.modalities[place];
        const int64_t features = config.sizes.at(modality + "_feature_width");
        contents.tensors["inputs"][modality + "_features"] = {Dtype::float32, {entities, features}};
        contents.tensors["inputs"][modality + "_mask"] = {Dtype::boolean, {entities}};
        // Further ones are called so that they cannot be mistaken for a part of the graph (adamf_mat/modalities.py).
        const std::string name = place < 2 ? modality : modality + "_modality";
        contents.weights["entity_encoder." + name + ".multiplied_weight"] = {features, width};
    }
}

void add_mimic(const Config &config, Contents &contents) {
    const Dtype dtype = config.names.at("entity_dtype") == "float16" ? Dtype::float16 : Dtype::float32;
    const int64_t length = config.size("text_length"), text = config.size("text_width");
    const int64_t text_unit = config.size("text_unit_dim"), image_unit = config.size("image_unit_dim");
    const int64_t fused = config.size("cross_modal_unit_dim"), image = config.size("image_width");
    contents.labels = {{"entities", ANY_COUNT}};
    contents.tensors["table"] = {{"entity_queries", {dtype, {ANY, length, text_unit}}},
                                 {"entity_cls", {dtype, {ANY, text_unit}}},
                                 {"entity_text", {dtype, {ANY, text}}},
                                 {"entity_dual_query", {dtype, {ANY, 3, image_unit}}},
                                 {"entity_dual_key", {dtype, {ANY, 3, image_unit}}},
                                 {"entity_fused", {dtype, {ANY, fused}}}};
    contents.graphs = {"text_encoder", "image_encoder", "mention_side", "entity_side", INTERACTION};
    if (config.names.at("tokenizer") != "none") contents.others = {"tokenizer.json"};
    const auto last = [&](const char *graph, const char *layers) {
        return std::string(graph) + ".layers." + std::to_string(config.size(layers) - 1) + ".hidden.multiplied_weight";
    };
    const int64_t patch = config.size("patch_size"), side = config.size("image_size") / patch;
    contents.weights = {{"text_encoder.multiplied_tokens", {config.size("vocabulary_size"), text}},
                        {last("text_encoder", "num_text_layers"), {text, config.size("text_feedforward_dim")}},
                        {"text_encoder.positions", {length, text}},
                        {"image_encoder.patches.multiplied_weight", {3 * patch * patch, image}},
                        {"image_encoder.positions", {side * side, image}},
                        {last("image_encoder", "num_image_layers"), {image, config.size("image_feedforward_dim")}},
                        {"image_encoder.tokens.multiplied_weight", {image, config.size("image_feature_dim")}},
                        {"mention_side.keys.bias", {text_unit}},
                        {"mention_side.dual_key.patches.bias", {image_unit}},
                        {"mention_side.fused.image.bias", {fused}}};
}

}  // namespace

std::vector<std::string> Contents::files() const {
    std::vector<std::string> names{"weights.safetensors", "probes.safetensors", "parity.json", "MODEL_CARD.md"};
    for (const auto &[name, count] : labels) names.push_back(name + ".txt");
    for (const auto &[name, specs] : tensors) names.push_back(name + ".safetensors");
    for (const std::string &name : graphs) names.push_back(name + ".onnx");
    names.insert(names.end(), others.begin(), others.end());
    names.insert(names.end(), optional.begin(), optional.end());
    return names;
}

bool Contents::may_lack(const std::string &file) const {
    if (std::find(optional.begin(), optional.end(), file) != optional.end()) return true;
    return std::any_of(younger.begin(), younger.end(), [&](const auto &name) { return name + ".safetensors" == file; });
}

Contents contents_of(const Config &config) {
    Contents contents;
    if (config.links()) {
        add_mimic(config, contents);
        return contents;
    }
    contents.labels = {{"entities", config.size("num_entities")}, {"relations", config.size("num_relations")}};
    for (const char *split : SPLITS) contents.tensors["triples"][split] = {Dtype::int64, {ANY, 3}};
    for (const char *part : {"keys", "offsets", "answers"}) {
        contents.tensors[KNOWN_TRIPLES][part] = {Dtype::int64, {ANY}};
    }
    contents.younger = {KNOWN_TRIPLES};
    contents.optional = {TOKENIZERS};
    contents.graphs = {"query_encoder", "entity_encoder", "complete"};
    (config.family == Family::mygo ? add_mygo : add_adamf_mat)(config, contents);
    return contents;
}

}  // namespace mmkg::internal
