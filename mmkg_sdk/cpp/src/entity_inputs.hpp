// What new entities are encoded from, checked and laid out as encoders take it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "mmkg/model.hpp"
#include "opened.hpp"

namespace mmkg::internal {

// Tokens of all entities of one modality, padded to one length.
struct PaddedTokens {
    std::vector<int64_t> tokens;
    std::vector<uint8_t> mask;  // 1: padding
    int64_t count = 1;          // of an entity, at least one
};

// Features of all entities of one modality, zeros where there are none.
struct FeatureRows {
    std::vector<float> features;
    std::vector<uint8_t> mask;  // 1: the entity has none, and the model takes no share of it
    int64_t width = 0;
};

// Checks what callers give.
class EntityInputs {
public:
    // opened: must stay. Reads all structural embeddings once.
    explicit EntityInputs(const Opened &opened);

    // float32 [n, width]: the given ones, else the mean of the trained ones.
    //
    // Throws Error (query): another width, NaN or infinity; the model has more modalities than image and text.
    std::vector<float> structure(const std::vector<const std::vector<float> *> &given) const;

    // modality: "visual" or "text". Throws Error (query): a token that the codebook does not have, or too many.
    PaddedTokens tokens(const std::string &modality, const std::vector<const std::vector<int64_t> *> &given) const;

    // The same of features. Throws Error (query): another width, NaN or infinity.
    FeatureRows features(const std::string &modality, const std::vector<const std::vector<float> *> &given) const;

private:
    const Opened &opened_;
    std::vector<float> mean_structure_;
};

// One member of each entity.
template <class Entity, class Member>
std::vector<const Member *> each(const std::vector<Entity> &entities, Member Entity::*member) {
    std::vector<const Member *> found;
    for (const Entity &entity : entities) found.push_back(&(entity.*member));
    return found;
}

}  // namespace mmkg::internal
