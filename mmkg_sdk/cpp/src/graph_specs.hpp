// The signatures of graphs in bundle.json: inputs, outputs and axes.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "json.hpp"

namespace mmkg::internal {

// Whether a signature is one that an export writes.
//
//   place   for messages
//
// Throws Error (bundle).
void check_graph_spec(const std::string &place, const Json &spec);

// The largest size of every axis that an input has.
std::map<std::string, int64_t> largest_sizes(const Json &spec);

}  // namespace mmkg::internal
