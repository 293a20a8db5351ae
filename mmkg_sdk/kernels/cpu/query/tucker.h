// The Tucker product of mmkg_tucker.h.
#pragma once

#include <cstdint>

#include "mmkg_tucker.h"
#include "common/aligned.h"
#include "common/pool.h"
#include "common/spares.h"
#include "layers/encoder_set.h"

namespace mmkg {

struct TuckerScratch {
    Aligned<float> sums, strips;  // of the parts, of the threads
};

}  // namespace mmkg

struct mmkg_tucker {
    mmkg_tucker(const void *core, int32_t precision, const void *relation_weight, const float *shift, int64_t width_,
                const mmkg::EncoderSet &set_, mmkg::Pool &pool);

    void apply(const float *context, const float *relation, int64_t batch, float *out, mmkg::Pool::Lease &lease) const;
    mmkg::Pool &pool() const { return pool_; }

    const mmkg::EncoderSet &set;
    const int64_t width;

private:
    struct Rows {
        const float *context, *relation;
        int64_t count;
        float *sums;  // [parts, count, stride_]
    };
    const char *slice(int64_t index) const;
    void add_part(const Rows &rows, int64_t part, float *strip) const;
    void add_slice(const Rows &rows, int64_t part, int64_t index, float *strip) const;
    void sum_parts(const Rows &rows, int64_t first, int64_t end, float *out) const;
    int threads(const mmkg::Pool::Lease &lease, int64_t rows, int64_t most) const;

    mmkg::Pool &pool_;
    const char *const core_;
    const int32_t precision_;
    const int64_t number_bytes_, slice_bytes_, copied_, parts_;
    const ptrdiff_t stride_;
    // The last slices of the core and relation_weight, with room to read past the end.
    mmkg::Aligned<char> tail_;
    mmkg::Aligned<float> shift_;
    mutable mmkg::Spares<mmkg::TuckerScratch> spares_;
};
