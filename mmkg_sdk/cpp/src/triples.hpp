// Triples in a bundle, and the index of them that is stored beside: in range, and such that it can be searched.
#pragma once

#include <string>

#include "config.hpp"
#include "safetensors.hpp"

namespace mmkg::internal {

// Whether every triple names entities and relations that there are.
//
// Throws Error (bundle): one does not.
void check_triples(const std::string &path, const Tensors &splits, const Config &config);

// Whether a stored index can be searched and names what there is. That it is the right one, verification tells, which
// is Python's.
//
// Throws Error (bundle): an array is too long or short, not in order, or names what there is not.
void check_index(const std::string &path, const Tensors &arrays, const Config &config);

}  // namespace mmkg::internal
