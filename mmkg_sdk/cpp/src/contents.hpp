// What the bundle of a configuration holds, as its family says: labels, tensors, graphs, weights.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "config.hpp"
#include "safetensors.hpp"

namespace mmkg::internal {

inline constexpr const char *SPLITS[] = {"train", "valid", "test"};

struct Contents {
    std::map<std::string, int64_t> labels;                         // NAME.txt -> number of labels; ANY_COUNT = any
    std::map<std::string, std::map<std::string, Stored>> tensors;  // NAME.safetensors -> the tensors in it
    std::vector<std::string> graphs;                               // NAME.onnx
    std::vector<std::string> others;                      // further file names
    std::vector<std::string> optional;                    // further file names, of which some bundles have none
    std::vector<std::string> younger;                     // those of the tensors that bundles of earlier versions lack
    std::map<std::string, std::vector<int64_t>> weights;  // shapes of those weights that tell the sizes of the model

    // All file names of the bundle except bundle.json.
    std::vector<std::string> files() const;
    // Whether one of them may lack.
    bool may_lack(const std::string &file) const;
};

inline constexpr int64_t ANY_COUNT = -1;
inline constexpr const char *KNOWN_TRIPLES = "known_triples";
// What made the tokens of texts and pictures; raw input is for Python.
inline constexpr const char *TOKENIZERS = "tokenizers.safetensors";
inline constexpr const char *INTERACTION = "interaction";  // the graph
inline constexpr const char *TOKEN_TABLE_GRAPH = "entity_encoder_token_table";

Contents contents_of(const Config &config);

}  // namespace mmkg::internal
