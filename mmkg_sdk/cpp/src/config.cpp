#include "config.hpp"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "text.hpp"

namespace mmkg::internal {
namespace {

// No size of a model comes near it.
constexpr int64_t LARGEST_SIZE = (int64_t{1} << 31) - 1;
// Each takes a module even where nothing is allocated for it.
constexpr int64_t MOST_LAYERS = 1024;
constexpr size_t MOST_FURTHER = 64;
constexpr double REQUIRED = -1, OPTIONAL = 0;  // in the place of a default; an optional one may be null

struct Schema {
    const char *family;
    std::map<std::string, double> sizes, numbers;  // with defaults
    std::map<std::string, std::vector<std::string>> choices;  // the first is the default
    std::map<std::string, std::string> texts{};  // with defaults: places and names, of which nothing is checked
    std::set<std::string> flags{};               // true or false: of the training, so nothing here reads them
};

const Schema &schema_of(Family family) {
    static const Schema mygo{"MyGO",
                             {{"num_entities", REQUIRED},
                              {"num_relations", REQUIRED},
                              {"visual_codebook_rows", REQUIRED},
                              {"visual_codebook_width", REQUIRED},
                              {"text_codebook_rows", REQUIRED},
                              {"text_codebook_width", REQUIRED},
                              {"num_visual_tokens", 8},
                              {"num_text_tokens", 8},
                              {"embedding_dim", 256},
                              {"feedforward_dim", 1024},
                              {"num_heads", 2},
                              {"num_entity_layers", 1},
                              {"num_decoder_layers", 1},
                              {"contrastive_samples", 512},
                              {"sampled_entities", OPTIONAL}},
                             {{"structure_dropout", 0.6},
                              {"visual_dropout", 0.3},
                              {"text_dropout", 0.1},
                              {"modality_dropout", 0.0},
                              {"dropout", 0.01},
                              {"tucker_input_dropout", 0.3},
                              {"tucker_matrix_dropout", 0.4},
                              {"tucker_output_dropout", 0.5},
                              {"label_smoothing", 0.0},
                              {"contrastive_weight", 0.0},
                              {"contrastive_temperature", 0.5}},
                             {{"score_function", {"tucker", "inner"}}}};
    static const Schema adamf_mat{"AdaMF",
                                  {{"num_entities", REQUIRED},
                                   {"num_relations", REQUIRED},
                                   {"visual_feature_width", REQUIRED},
                                   {"text_feature_width", REQUIRED},
                                   {"embedding_dim", 200},
                                   {"num_negatives", 128},
                                   {"noise_dim", 64}},
                                  {{"margin", 12.0},
                                   {"epsilon", 2.0},
                                   {"adversarial_temperature", 2.0},
                                   {"adversarial_weight", 0.0},
                                   {"generator_learning_rate", 1e-4}},
                                  {{"missing_modalities", {"zeros", "mask"}}},
                                  {},
                                  {"train_features"}};
    static const Schema mimic{"Mimic",
                              {{"vocabulary_size", 49408},
                               {"text_length", 40},
                               {"text_positions", 77},
                               {"text_width", 512},
                               {"text_feedforward_dim", 2048},
                               {"num_text_layers", 12},
                               {"num_text_heads", 8},
                               {"image_size", 224},
                               {"patch_size", 32},
                               {"image_width", 768},
                               {"image_feedforward_dim", 3072},
                               {"num_image_layers", 12},
                               {"num_image_heads", 12},
                               {"image_feature_dim", 96},
                               {"text_unit_dim", 96},
                               {"image_unit_dim", 96},
                               {"cross_modal_unit_dim", 96}},
                              {},
                              {{"entity_dtype", {"float32", "float16"}},
                               {"without_unit", {"", "text", "image", "image_text"}}},
                              {{"pretrained_clip", ""}, {"tokenizer", "learned"}}};
    return family == Family::mygo ? mygo : family == Family::adamf_mat ? adamf_mat : mimic;
}

// Sizes and numbers of an object of further_modalities, by family, with defaults.
const Schema &further_schema(Family family) {
    static const Schema mygo{"modality",
                             {{"codebook_rows", REQUIRED}, {"codebook_width", REQUIRED}, {"num_tokens", 8}},
                             {{"dropout", 0.1}},
                             {}};
    static const Schema adamf_mat{"modality", {{"feature_width", REQUIRED}}, {}, {}};
    return family == Family::mygo ? mygo : adamf_mat;
}

bool ends_with(const std::string &text, const std::string &end) {
    return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

void check_multiple(const Config &config, const char *size, const char *part) {
    if (config.size(size) % config.size(part) == 0) return;
    throw NotStrict(std::string(size) + " " + std::to_string(config.size(size)) + " is not a multiple of " + part +
                    " " + std::to_string(config.size(part)) + "; change one.");
}

void check_mygo(const Config &config) {
    for (const auto &[name, number] : config.numbers) {
        if (ends_with(name, "dropout") && !(number < 1)) {
            throw NotStrict(name + " is " + shown(number) + "; a dropout rate lies in [0, 1).");
        }
    }
    check_multiple(config, "embedding_dim", "num_heads");
    if (config.numbers.at("contrastive_weight") != 0 && config.size("num_text_tokens") < 2) {
        throw NotStrict(
            "num_text_tokens is 1, which leaves the contrastive text view nothing to average; use at least 2, or "
            "contrastive_weight = 0.");
    }
}

void check_adamf_mat(const Config &config) {
    for (const char *name : {"margin", "generator_learning_rate"}) {
        if (!(config.numbers.at(name) > 0)) {
            throw NotStrict(std::string(name) + " is " + shown(config.numbers.at(name)) +
                            "; expected a number above 0.");
        }
    }
}

void check_mimic(const Config &config) {
    check_multiple(config, "text_width", "num_text_heads");
    check_multiple(config, "image_width", "num_image_heads");
    check_multiple(config, "image_size", "patch_size");
    if (config.size("text_length") > config.size("text_positions")) {
        throw NotStrict("text_length is " + std::to_string(config.size("text_length")) +
                        ", but CLIP's text tower has " + std::to_string(config.size("text_positions")) +
                        " positions; expected at most as many.");
    }
}

void check_family(const Config &config) {
    switch (config.family) {
        case Family::mygo: return check_mygo(config);
        case Family::adamf_mat: return check_adamf_mat(config);
        case Family::mimic: return check_mimic(config);
    }
}

// A whole number of a configuration.
int64_t whole(const std::string &name, const Json &value) {
    const int64_t most = ends_with(name, "_layers") ? MOST_LAYERS : LARGEST_SIZE;
    if (!is_whole(value, 1, most)) {
        throw NotStrict(name + " is " + shown(value) + "; expected a whole number of at least 1, at most " +
                        grouped(most) + ".");
    }
    return value.get<int64_t>();
}

// Another number of one.
double finite(const std::string &name, const Json &value) {
    if (!value.is_number() || !(value.get<double>() >= 0) || !std::isfinite(value.get<double>())) {
        throw NotStrict(name + " is " + shown(value) + "; expected a finite number of at least 0.");
    }
    return value.get<double>();
}

// One of a few names.
std::string chosen(const std::string &name, const Json &value, const std::vector<std::string> &choices) {
    if (value.is_string() && std::find(choices.begin(), choices.end(), value) != choices.end()) {
        return value.get<std::string>();
    }
    std::string expected = "'" + choices[0] + "'";
    for (size_t i = 1; i < choices.size(); ++i) {
        expected += (i + 1 < choices.size() ? ", '" : " or '") + choices[i] + "'";
    }
    throw NotStrict(name + " is " + shown(value) + "; expected " + expected + ".");
}

// As check_further_modality in registry.py.
void check_modality_name(const Json &name) {
    static const std::set<std::string> taken{"image", "visual", "text", "structure", "all", "str",
                                             "vis",   "txt",    "img",  "ent",       "rel"};
    const bool text = name.is_string();
    const std::string given = text ? name.get<std::string>() : "";
    const auto allowed = [](char letter) { return (letter >= 'a' && letter <= 'z') || (letter >= '0' && letter <= '9'); };
    if (given.empty() || given.size() > 32 || (given[0] >= '0' && given[0] <= '9') || taken.count(given) != 0 ||
        !std::all_of(given.begin(), given.end(), allowed)) {
        throw NotStrict("a modality cannot be called " + shown(name) +
                        ": expected a small letter, then at most 31 small letters and digits.");
    }
}

// The modalities beyond image and text, which add sizes of their own.
void read_further(const Json &values, Config &config) {
    const Schema &schema = further_schema(config.family);
    if (!values.is_array() || values.size() > MOST_FURTHER) {
        throw NotStrict("further_modalities is " + shown(values) + "; expected a list of at most " +
                        std::to_string(MOST_FURTHER) + " objects.");
    }
    std::string before;
    for (const Json &one : values) {
        if (!one.is_object() || one.count("name") == 0) {
            throw NotStrict("further_modalities has " + shown(one) + "; expected an object with a name.");
        }
        check_modality_name(one.at("name"));
        const auto name = one.at("name").get<std::string>();
        if (name <= before) {
            throw NotStrict("further_modalities has " + name + " behind " + before +
                            "; expected each once, in the order of their names.");
        }
        before = name;
        config.modalities.push_back(name);
        for (const auto &[field, fallback] : schema.sizes) {
            if (fallback != REQUIRED) config.sizes[name + "_" + field] = static_cast<int64_t>(fallback);
        }
        for (const auto &[field, value] : one.items()) {
            if (schema.sizes.count(field) != 0) {
                config.sizes[name + "_" + field] = whole(name + "_" + field, value);
            } else if (schema.numbers.count(field) != 0) {
                config.numbers[name + "_" + field] = finite(name + "_" + field, value);
            } else if (field != "name") {
                throw NotStrict("unknown modality setting " + in_quotes(field) + ".");
            }
        }
        for (const auto &[field, fallback] : schema.sizes) {
            if (config.sizes.count(name + "_" + field) == 0) {
                throw NotStrict("incomplete modality " + name + ": " + field + " is missing.");
            }
        }
    }
}

}  // namespace

int64_t Config::table_width() const { return size("embedding_dim") * (family == Family::mygo ? 1 : 2); }

Config read_config(Family family, const Json &values) {
    const Schema &schema = schema_of(family);
    Config config{family, {}, {}, schema.texts};
    if (!config.links()) config.modalities = {"visual", "text"};
    for (const auto &[name, choices] : schema.choices) config.names[name] = choices[0];
    for (const auto &[name, fallback] : schema.sizes) {
        if (fallback != REQUIRED && fallback != OPTIONAL) config.sizes[name] = static_cast<int64_t>(fallback);
    }
    config.numbers = schema.numbers;
    for (const auto &[name, value] : values.items()) {
        if (const auto size = schema.sizes.find(name); size != schema.sizes.end()) {
            if (size->second == OPTIONAL && value.is_null()) continue;
            config.sizes[name] = whole(name, value);
        } else if (schema.numbers.count(name) != 0) {
            config.numbers[name] = finite(name, value);
        } else if (const auto choice = schema.choices.find(name); choice != schema.choices.end()) {
            config.names[name] = chosen(name, value, choice->second);
        } else if (schema.texts.count(name) != 0) {
            if (!value.is_string())
                throw NotStrict(name + " is " + shown(value) + "; expected a folder, a file or a name.");
            config.names[name] = value.get<std::string>();
        } else if (schema.flags.count(name) != 0) {
            if (!value.is_boolean()) throw NotStrict(name + " is " + shown(value) + "; expected true or false.");
        } else if (name == "further_modalities" && !config.links()) {
            read_further(value, config);
        } else {
            throw NotStrict("unknown " + std::string(schema.family) + " setting " + in_quotes(name) + ".");
        }
    }
    for (const auto &[name, fallback] : schema.sizes) {
        if (fallback == REQUIRED && config.sizes.count(name) == 0) {
            throw NotStrict("incomplete " + std::string(schema.family) + " configuration: " + name + " is missing.");
        }
    }
    check_family(config);
    return config;
}

}  // namespace mmkg::internal
