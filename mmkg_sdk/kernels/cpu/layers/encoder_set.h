// What one instruction set offers to the encoders: products with packed weights, norms, attention by table.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mmkg {

// Columns of products come in such groups; weights are padded with zeros. A multiple of every panel's width.
constexpr int64_t kColumnGroup = 32;
// Columns of one head come in such groups, and a row of weights (of the softmax) as well.
constexpr int64_t kHeadGroup = 16;
// Columns of values that lie together: a slice of all rows, 10 MB of 40,000, stays in a third-level cache that the
// whole table does not fit, while all entities of a chunk take their sums from it.
constexpr int64_t kSliceColumns = 64;
// So many tokens ahead values are fetched; a list of rows ends in as many more that can be fetched.
constexpr int64_t kFetchAhead = 16;

inline int64_t rounded_up(int64_t count, int64_t group) { return (count + group - 1) / group * group; }

// out = left @ weights + start, each element a chain of multiply-adds over ascending `inner`, then `start`. (A chain
// that begins with a large start rounds every product to its digits.)
struct Product {
    const float *left;  // [rows, inner], `left_stride` floats apart
    ptrdiff_t left_stride;
    const float *panels;  // [columns / panel, inner, panel], the panels `panel_stride` floats apart
    ptrdiff_t panel_stride;
    const float *start;  // [rows, columns]; stride 0: one row for all; may be `out`
    ptrdiff_t start_stride;
    float *out;  // [rows, columns]
    ptrdiff_t out_stride;
    int64_t rows, inner, columns;  // columns: a multiple of kColumnGroup
    bool rectify;                  // max(out, 0)
};

// out = norm(in) * scale + shift, in rows; and sum = out + addend where there is one. `sum` may be `in`.
struct Norm {
    const float *in;
    ptrdiff_t in_stride;
    const float *scale, *shift;
    float *out;
    ptrdiff_t out_stride;
    const float *addend;
    float *sum;
    ptrdiff_t sum_stride;
    int64_t rows, width;
    float epsilon;
};

// One entity: logits to weights, in place.
struct AttentionWeights {
    const float *structure;     // structural token [width]
    const float *logit_weight;  // [heads, width]
    float *weights;  // [heads], `weight_stride` apart: logits of pooled token, (own, computed here), tokens
    ptrdiff_t weight_stride;
    int64_t heads, width, tokens;
};

// One entity and one slice of the columns: the weighted sum of values.
struct WeightedSum {
    const void *values;  // [rows, columns], float or the upper half of one
    int64_t columns;     // a multiple of kHeadGroup, kSliceColumns at most
    const float *pooled_value;  // [columns]
    const int32_t *rows;        // of values, one a token, and kFetchAhead more
    int64_t tokens;
    const float *weights;  // of the head: pooled token, structural token, tokens
    float *context;        // [columns]: the structural token's value comes in, the sum goes out
};

// One short sequence, attending to itself; rows of queries, keys and values are `stride` floats apart.
struct SequenceAttention {
    const float *query, *key, *value;  // [positions, heads, head_width]
    ptrdiff_t stride;
    float *out;  // likewise, `out_stride` apart
    ptrdiff_t out_stride;
    int64_t first, positions;  // queries from `first` on; positions: at most kHeadGroup
    int64_t heads, head_width;
    float scale;  // of the logits
};

// sums += scale * (left @ weights), row by row: each product a chain of multiply-adds over ascending `width`, then one
// more to the sum.
struct Slice {
    const float *left;  // [rows, width], `left_stride` floats apart
    ptrdiff_t left_stride;
    const float *scale;  // one a row, `scale_stride` floats apart
    ptrdiff_t scale_stride;
    const void *weights;   // [width, width], and kColumnGroup numbers more that can be read
    const void *upcoming;  // as many numbers, to be fetched meanwhile
    float *sums;           // [rows, width], `sums_stride` floats apart; what lies past `width` up to a whole
    ptrdiff_t sums_stride; // kColumnGroup is written with anything
    float *strip;          // [width, kColumnGroup], to work in
    int64_t rows, width;
};

struct EncoderSet {
    int32_t id;
    int panel;      // columns
    int tile_rows;  // of a product
    void (*multiply)(const Product &);
    int64_t (*normalise)(const Norm &);  // the first row that is not finite, or -1
    void (*attention_weights)(const AttentionWeights &);
    void (*weigh[2])(const WeightedSum &);  // [mmkg_storage]
    void (*attend_sequence)(const SequenceAttention &);
    void (*add_slice[3])(const Slice &);   // [mmkg_precision]
};

const EncoderSet &portable_encoder_set();
// Null where the build has no such code; whether the processor has it, mmkg_has_instruction_set says.
const EncoderSet *avx2_encoder_set();
const EncoderSet *avx512_encoder_set();
const EncoderSet *neon_encoder_set();

// That of an mmkg_instruction_set; MMKG_BEST is what mmkg.h says. Throws where the processor has no such thing.
const EncoderSet &chosen_encoder_set(int32_t id);

}  // namespace mmkg
