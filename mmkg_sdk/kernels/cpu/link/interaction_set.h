// What one instruction set offers to the late interaction.
#pragma once

#include <cstddef>
#include <cstdint>

#include "layers/encoder_set.h"

namespace mmkg {

// Positions of an entity, widths of vectors and counts of rows come in eights.
constexpr int64_t kEight = 8;
// Positions of a mention whose logits stay in registers together.
constexpr int64_t kTileKeys = 5;
// The Euclidean norm of a row of 16-bit numbers: neither a number nor the sum of products of two rows leaves its bits.
constexpr float kRowNorm = 32760.0f;

// The queries of a few entities, to be packed with their positions side by side ("lanes").
struct Queries {
    const void *const *entities;  // [count] of [length, width]
    int64_t count, length, width;
    int64_t eights;  // of positions of an entity: length / 8, rounded up
    int64_t lanes;   // at least count * eights * 8
    float *rows;     // scratch: [lanes, stride]
    int16_t *rounded;  // int16: scratch of the same shape
    ptrdiff_t stride;  // width, rounded up to 16
    void *panel;     // [steps, lanes] float; or pairs of int16, a float's place each
    float *unit;     // int16: [lanes], what 1 stands for
    float *mean;     // int16: [count, mean_stride], the mean query
    ptrdiff_t mean_stride;
};

// One mention with those entities.
struct Attend {
    const void *panel;
    int64_t steps, lanes;
    const void *keys;  // [keys, key_stride] floats or pairs; rows up to a multiple of kTileKeys
    ptrdiff_t key_stride;
    int64_t length;
    const float *unit;  // int16: as above, times that of the keys
    const float *base;  // int16: [entities, base_stride], what is added to the logits of each position of the mention
    ptrdiff_t base_stride;
    const float *share;  // [lanes]: 1 / length, or 0 where there is no position
    int64_t entities, eights;
    float *logits;  // scratch: [length rounded up to 8 and to kTileKeys, lanes]
    float *factors;  // scratch: [lanes]
    float *attention;  // [entities, stride], length rounded up to 8 are written
    ptrdiff_t stride;
};

// Numbers of one side of DUAL that depend on it alone, `stride` apart for each item.
enum KeyNumber { kZz, kAa, kKk, kZGate, kAContext, kKContext, kAk, kSideNumbers };
enum QueryNumber { kQq, kCc, kQGate, kCContext, kWContext, kCw, kShift };
enum Gram { kZq, kAw, kKw, kAc, kKc, kGrams };

// Scores of one item of one side with `count` of the other, in eights.
struct Dual {
    const float *keys;  // [kSideNumbers, key_stride]
    ptrdiff_t key_stride;
    const float *queries;  // [kSideNumbers, query_stride]
    ptrdiff_t query_stride;
    const float *grams;  // [kGrams, gram_stride]
    ptrdiff_t gram_stride;
    int64_t count;
    float gate_offset, context_square, epsilon;
    float *scores;
};

struct InteractionSet {
    int32_t id;
    void (*to_float)(const void *half, int64_t count, float *out);
    void (*pack[2][2])(const Queries &);  // [mmkg_logits][mmkg_entity_dtype]
    void (*attend[2])(const Attend &);    // [mmkg_logits]
    // out[i] = <rows[i], vector>, and <a[i], b[i]>; width and count in eights.
    void (*inner_products)(const float *rows, ptrdiff_t stride, const float *vector, int64_t width, int64_t count,
                           float *out);
    void (*row_products)(const float *a, ptrdiff_t a_stride, const float *b, ptrdiff_t b_stride, int64_t width,
                         int64_t count, float *out);
    void (*dual[2])(const Dual &);  // many queries with one key; many keys with one query
};

const InteractionSet &portable_interaction_set();
// Null where the build has no such code; whether the processor has it, mmkg_has_instruction_set says.
const InteractionSet *avx2_interaction_set();
const InteractionSet *avx512_interaction_set();
const InteractionSet *neon_interaction_set();

}  // namespace mmkg
