// What encodes new entities.
#pragma once

#include <memory>
#include <vector>

#include "graphs.hpp"
#include "kernels.hpp"
#include "mmkg/model.hpp"
#include "opened.hpp"

namespace mmkg::internal {

// Of one bundle. Safe to call from several threads.
class EntityEncoder {
public:
    virtual ~EntityEncoder() = default;

    // float32 [n, width].
    //
    // Throws Error (query): see Model::encode_entities, also where the family encodes from the other; (backend): no
    // ONNX Runtime, or a vector is not finite.
    virtual std::vector<float> encode(const std::vector<EntityTokens> &entities) const;
    virtual std::vector<float> encode(const std::vector<EntityFeatures> &entities) const;
};

// opened, pool, graphs: must stay. Throws Error (backend): weights that are missing, unknown, misshapen or not finite.
std::unique_ptr<const EntityEncoder> entity_encoder(const Opened &opened, mmkg_pool *pool, const Graphs &graphs);

}  // namespace mmkg::internal
