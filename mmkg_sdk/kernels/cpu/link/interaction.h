// The late interaction of mmkg_link.h: its weights, what is made of some mentions, and the walk over entities.
#pragma once

#include <cstdint>
#include <memory>

#include "mmkg_link.h"
#include "common/aligned.h"
#include "common/pool.h"
#include "link/interaction_set.h"

namespace mmkg {

// Mentions that a block of entities is scored with before the next block is read.
constexpr int64_t kMentionGroup = 16;
// Entities of a block: four tiles of 12 rows.
constexpr int64_t kEntityBlock = 48;

Aligned<float> zeros(int64_t count);

// The vectors of one DUAL, in eights.
struct DualWeights {
    DualWeights(const mmkg_dual_weights &weights, int64_t width, const char *name);
    Aligned<float> to_gate, context, scale, shift;
    float gate_offset, context_square;
};

// One side of DUAL for some items: three vectors each ([3, width]: z, a, k or q, c, w), and numbers.
struct DualSide {
    Aligned<float> vectors;  // [items, 3, width]
    Aligned<float> numbers;  // [kSideNumbers, items in eights]
    ptrdiff_t stride = 0;    // of numbers
};

struct Mentions {
    Aligned<float> keys;   // [mentions, padded keys, key_stride], floats or pairs of int16 in a float's place
    Aligned<float> unit;   // [mentions], of int16
    Aligned<float> base;   // panels of all keys, for the mean of the queries
    Aligned<float> values;  // [mentions] panels
    Aligned<float> text, fused;  // [mentions, width in eights]
    DualSide key, query;
    int64_t count;
};

// What one thread works in.
struct LinkScratch;

}  // namespace mmkg

struct mmkg_interaction {
    mmkg_interaction(const mmkg_interaction_weights &weights, int32_t dtype, int32_t logits,
                     const mmkg::InteractionSet &set, mmkg::Pool &pool);

    struct Call {
        const mmkg_entity_pieces *entities;
        const int64_t *candidates;
        int64_t count;        // of candidates
        float *text, *image, *image_text;  // rows of the first of these mentions
    };
    void score(const mmkg_mention_pieces &mentions, int64_t count, const Call &call) const;

    const mmkg::InteractionSet &set;

private:
    std::unique_ptr<mmkg::LinkScratch> make_scratch(int64_t block, int64_t mentions) const;
    mmkg::Mentions read_mentions(const mmkg_mention_pieces &pieces, int64_t first, int64_t count) const;
    void read_text_keys(const float *keys, int64_t mention, mmkg::Mentions &mentions) const;
    void key_numbers(mmkg::DualSide &side, int64_t count, const mmkg::DualWeights &weights) const;
    // `vectors` hold h, which becomes w.
    void query_numbers(mmkg::DualSide &side, int64_t count, const mmkg::DualWeights &weights) const;
    void read_block(const Call &call, int64_t begin, int64_t count, mmkg::LinkScratch &s) const;
    void read_vectors(const void *pieces, int64_t entity, int64_t vectors, int64_t width, float *out) const;
    void attend_block(const Call &call, const mmkg::Mentions &mentions, int64_t begin, int64_t count,
                      mmkg::LinkScratch &s) const;
    bool score_block(const Call &call, const mmkg::Mentions &mentions, int64_t begin, int64_t count,
                     mmkg::LinkScratch &s) const;
    void dual_scores(const mmkg::DualSide &entities, bool keys, const mmkg::DualSide &mentions, int64_t mention,
                     int64_t count, const mmkg::DualWeights &weights, mmkg::LinkScratch &s, float *scores) const;

    mmkg::Pool &pool_;
    const mmkg::EncoderSet &products_;
    const int32_t dtype_, logits_;
    const int64_t length_, width_, text_width_, image_width_, fused_width_;
    const int64_t text_padded_, image_padded_, fused_padded_;  // in eights
    const int64_t eights_, group_, lanes_;                     // of an entity; entities side by side, and their lanes
    const int64_t padded_keys_, steps_, key_columns_;
    const ptrdiff_t query_stride_;
    const int64_t value_columns_;
    const float epsilon_;
    mmkg::Aligned<float> context_weight_, context_bias_, share_, no_start_;
    const mmkg::DualWeights by_entity_, by_mention_;
};
