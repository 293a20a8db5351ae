// The token-table encoder of mmkg_encoder.h: its weights as the kernels want them, and the walk over blocks of
// entities.
#pragma once

#include <cstdint>
#include <memory>

#include "mmkg_encoder.h"
#include "common/aligned.h"
#include "common/pool.h"
#include "common/spares.h"
#include "layers/encoder_set.h"
#include "layers/packed_weights.h"

namespace mmkg {

// Throws if sizes are out of range.
void require_sizes(const mmkg_token_table_weights &weights);

struct Tokens {
    const int64_t *ids;
    const uint8_t *mask;
    int64_t count, rows, first_row;
};

// What one thread works in: the activations of a block of entities; contexts and tokens of a chunk, some blocks.
struct EncoderScratch {
    Aligned<float> vectors, hidden, context;
    ptrdiff_t vectors_stride, hidden_stride, context_stride;
    Aligned<float> weights;  // [chunk, heads, weight_stride]
    Aligned<int32_t> rows;   // [chunk, row_stride]
    Aligned<int64_t> counts;  // [chunk], tokens that are not masked
    ptrdiff_t weight_stride, row_stride;
};

}  // namespace mmkg

struct mmkg_token_table {
    mmkg_token_table(const mmkg_token_table_weights &weights, int32_t storage, const mmkg::EncoderSet &set,
                     mmkg::Pool &pool);

    struct Batch {
        int64_t size;
        const float *structure;
        mmkg::Tokens tokens[2];  // visual, text
        float *vectors;
    };
    // Why an entity has no vector.
    enum Fault { kNone, kStructure, kToken, kOverflow };
    void encode(const Batch &batch) const;

    const mmkg::EncoderSet &set;
    const int64_t width, heads, feedforward_width, visual_rows, text_rows;

private:
    Fault encode_chunk(const Batch &batch, int64_t begin, int64_t count, mmkg::EncoderScratch &scratch,
                       int64_t &entity) const;
    Fault attend(const Batch &batch, int64_t begin, int64_t count, int64_t place, mmkg::EncoderScratch &scratch,
                 int64_t &entity) const;
    bool gather(const Batch &batch, int64_t entity, int64_t place, mmkg::EncoderScratch &scratch) const;
    void weigh(int64_t count, mmkg::EncoderScratch &scratch) const;
    Fault finish(float *context, float *vectors, int64_t count, mmkg::EncoderScratch &scratch, int64_t &entity) const;
    void multiply(const mmkg::PackedMatrix &matrix, const float *left, ptrdiff_t left_stride, float *out,
                  ptrdiff_t out_stride, int64_t rows) const;
    std::unique_ptr<mmkg::EncoderScratch> take_scratch(int64_t chunk, int64_t tokens) const;

    mmkg::Pool &pool_;
    const int32_t storage_;
    const float epsilon_;
    const int64_t head_columns_, attended_, block_;
    mmkg::Aligned<float> structure_scale_, structure_shift_, logit_weight_, logits_, pooled_logits_, pooled_value_;
    mmkg::Aligned<float> norm1_scale_, norm1_shift_, norm2_scale_, norm2_shift_;
    // Slices of columns one after the other, each [rows, columns of the slice].
    mmkg::Aligned<float> values_;
    mmkg::Aligned<uint16_t> rounded_values_;
    mmkg::PackedMatrix value_, output_, hidden_, feedforward_;
    mutable mmkg::Spares<mmkg::EncoderScratch> spares_;
};
