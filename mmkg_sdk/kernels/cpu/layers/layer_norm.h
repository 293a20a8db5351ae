// Layer norm: mean, then variance of the centred row, so that a large mean costs no digits.
#pragma once

#include <cmath>

#include "layers/encoder_set.h"
#include "simd/lanes.h"

namespace mmkg {

template <class Simd>
bool normalise_row(const Norm &n, int64_t row) {
    const float *in = n.in + row * n.in_stride;
    float *out = n.out + row * n.out_stride;
    const float width = static_cast<float>(n.width);
    LaneSum<Simd> sum;
    along<Simd>(n.width, [&](int64_t at, int part, int count) __attribute__((always_inline)) {
        sum.lanes[part] = Simd::add(sum.lanes[part], Simd::load_first(in + at, count));
    });
    const auto mean = Simd::set(sum.total() / width);
    LaneSum<Simd> squares;
    along<Simd>(n.width, [&](int64_t at, int part, int count) __attribute__((always_inline)) {
        const auto centred = Simd::keep_first(Simd::sub(Simd::load_first(in + at, count), mean), count);
        squares.lanes[part] = Simd::fma(centred, centred, squares.lanes[part]);
    });
    const float variance = squares.total() / width;
    const auto inverse = Simd::set(1.0f / std::sqrt(variance + n.epsilon));
    along<Simd>(n.width, [&](int64_t at, int, int count) __attribute__((always_inline)) {
        const auto unit = Simd::mul(Simd::sub(Simd::load_first(in + at, count), mean), inverse);
        const auto shift = Simd::load_first(n.shift + at, count);
        const auto found = Simd::fma(unit, Simd::load_first(n.scale + at, count), shift);
        Simd::store_first(out + at, count, found);
        if (n.addend) {
            const auto with = Simd::add(found, Simd::load_first(n.addend + at, count));
            Simd::store_first(n.sum + row * n.sum_stride + at, count, with);
        }
    });
    return variance - variance == 0;  // false for NaN and infinity
}

template <class Simd>
int64_t normalise(const Norm &n) {
    int64_t wrong = -1;
    for (int64_t row = n.rows - 1; row >= 0; --row) {
        if (!normalise_row<Simd>(n, row)) wrong = row;
    }
    return wrong;
}

}  // namespace mmkg
