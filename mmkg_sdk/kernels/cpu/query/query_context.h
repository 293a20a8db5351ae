// The query transformer of mmkg_query.h: its weights as the kernels want them, and the walk over blocks of questions.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "mmkg_query.h"
#include "common/aligned.h"
#include "common/pool.h"
#include "common/spares.h"
#include "common/stages.h"
#include "layers/encoder_set.h"
#include "layers/packed_weights.h"

namespace mmkg {

// Throws if sizes are out of range.
void require_sizes(const mmkg_query_weights &weights);

// Throws if an id of a question is not from 0 to limit - 1.
void require_ids(const char *name, const int64_t *ids, int64_t batch, int64_t limit);

constexpr int64_t kPositions = 3;  // known entity, relation, missing entity

struct QueryLayer {
    PackedMatrix projection;  // queries, keys and values side by side, each in whole column groups
    PackedMatrix output, hidden, feedforward;
    Aligned<float> norm1_scale, norm1_shift, norm2_scale, norm2_shift;
};

// Activations of a block of questions; rows by position first, so that the positions that are read lie together.
struct QueryScratch {
    Aligned<float> vectors, sums, projected, hidden;
};

}  // namespace mmkg

struct mmkg_query_context {
    mmkg_query_context(const mmkg_query_weights &weights, const mmkg::EncoderSet &set, mmkg::Pool &pool);

    struct Batch {
        const float *table;
        int64_t size;
        const int64_t *entities, *relations, *directions;
        float *context, *relation;
    };
    void encode(const Batch &batch, mmkg::Pool::Lease &lease) const;
    mmkg::Pool &pool() const { return pool_; }

    const mmkg::EncoderSet &set;
    const int64_t width, num_relations;

private:
    struct Block {
        const Batch &batch;
        int64_t begin, count;
        mmkg::QueryScratch &scratch;
    };
    int worth_threads(const mmkg::Pool::Lease &lease, int64_t questions) const;
    // False where a norm met NaN or infinity.
    bool encode_block(const Block &block, mmkg::Stages::Way way) const;
    void gather(const Block &block, int64_t question) const;
    void attend(const Block &block, int64_t question, int64_t first_position) const;
    void multiply(const mmkg::PackedMatrix &matrix, int64_t strip, const float *left, ptrdiff_t left_stride,
                  const float *start, float *out, ptrdiff_t out_stride, int64_t rows, bool rectify = false) const;
    std::unique_ptr<mmkg::QueryScratch> take_scratch() const;

    mmkg::Pool &pool_;
    const int64_t heads_, feedforward_width_, columns_, block_;  // columns_: width in whole groups
    const ptrdiff_t stride_, projected_stride_, hidden_stride_;
    const float epsilon_;
    mmkg::Aligned<float> known_slots_, relations_, missing_slots_;
    std::vector<mmkg::QueryLayer> layers_;
    mutable mmkg::Spares<mmkg::QueryScratch> spares_;
};
