// What MyGO's bundles are answered with.
#pragma once

#include <memory>

#include "entity_encoder.hpp"
#include "query_vectors.hpp"

namespace mmkg::internal {

// See query_vectors.
std::unique_ptr<const QueryVectors> mygo_queries(const Opened &opened, mmkg_pool *pool);

// See entity_encoder; of a bundle with one entity layer, by the kernels.
std::unique_ptr<const EntityEncoder> token_table_encoder(const Opened &opened, mmkg_pool *pool);

}  // namespace mmkg::internal
