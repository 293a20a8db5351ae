// What MyGO's bundles are answered with.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "mmkg/model.hpp"
#include "query_vectors.hpp"

namespace mmkg::internal {

// See query_vectors.
std::unique_ptr<const QueryVectors> mygo_queries(const Opened &opened, mmkg_pool *pool);

// What encodes entities of a bundle with one entity layer. Safe to call from several threads.
class TokenEncoder {
public:
    // opened, pool: must stay. Throws Error (backend): weights that are missing, unknown, misshapen or not finite.
    TokenEncoder(const Opened &opened, mmkg_pool *pool);

    // float32 [n, width]. Throws Error (query): see Model::encode_entities; (backend): a vector is not finite.
    std::vector<float> encode(const std::vector<EntityTokens> &entities) const;

private:
    const Opened &opened_;
    int64_t width_ = 0;
    std::vector<float> mean_structure_;  // of the trained entities
    TokenTable encoder_;
};

}  // namespace mmkg::internal
