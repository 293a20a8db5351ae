// MIMIC's scores of mentions and entities, from the pieces of both.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "kernels.hpp"
#include "mmkg/linker.hpp"
#include "opened.hpp"

namespace mmkg::internal {

// What does the work of a bundle's graph `interaction`. Safe to call from several threads.
class Interaction {
public:
    // opened, pool: must stay.
    //
    // Throws Error (backend): weights that are missing, unknown, misshapen or not finite.
    Interaction(const Opened &opened, mmkg_pool *pool);

    // How many mentions these are the pieces of.
    //
    // Throws Error (query): a piece is misshapen, or holds NaN or infinity.
    int64_t count(const MentionPieces &mentions) const;

    // Scores by unit (text, image, image with text), float32 [mentions, candidates] each, of `count` mentions from
    // `start` on.
    //
    //   candidates   ids, or nullptr: all entities
    //
    // Throws Error (backend): a score is not finite.
    std::array<std::vector<float>, 3> scores(const MentionPieces &mentions, int64_t start, int64_t count,
                                             const std::vector<int64_t> *candidates) const;

private:
    void open(const Opened &opened, mmkg_pool *pool);

    int64_t rows_ = 0;
    mmkg_interaction_weights sizes_{};  // no weights: they are read while opening
    std::array<Array<float>, 6> float_pieces_;
    std::array<Array<uint16_t>, 6> half_pieces_;  // those of either
    mmkg_entity_pieces entities_{};
    LateInteraction handle_;
};

}  // namespace mmkg::internal
