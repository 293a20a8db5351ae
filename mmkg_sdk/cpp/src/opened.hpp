// What was verified of a bundle, as the rest of the library uses it.
#pragma once

#include <string>

#include "files.hpp"
#include "manifest.hpp"
#include "mmkg/labels.hpp"
#include "safetensors.hpp"

namespace mmkg::internal {

struct Opened {
    Manifest manifest;
    Labels entities, relations;  // of MIMIC no relations, and of what follows only table and weights
    std::map<std::string, Content> files;  // of tensors a map, of graphs a copy, of others nothing
    Tensors table, inputs, triples, weights;
    Tensors known_triples;  // keys, offsets and answers; none in older bundles

    const Config &config() const noexcept { return manifest.config; }
};

}  // namespace mmkg::internal
