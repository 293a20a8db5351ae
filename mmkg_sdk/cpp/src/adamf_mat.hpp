// What AdaMF-MAT's bundles are answered with.
#pragma once

#include <memory>

#include "query_vectors.hpp"

namespace mmkg::internal {

// See query_vectors.
std::unique_ptr<const QueryVectors> adamf_mat_queries(const Opened &opened);

}  // namespace mmkg::internal
