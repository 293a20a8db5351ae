// Attention within a sequence of a few tokens.
#pragma once

#include <cmath>

#include "layers/attention.h"
#include "layers/encoder_set.h"
#include "simd/lanes.h"

namespace mmkg {

template <class Simd>
void attend_sequence(const SequenceAttention &a) {
    float weights[kHeadGroup];
    for (int64_t i = a.first; i < a.positions; ++i) {
        for (int64_t column = 0; column < a.heads * a.head_width; column += a.head_width) {
            const float *query = a.query + i * a.stride + column, *key = a.key + column, *value = a.value + column;
            for (int64_t j = 0; j < a.positions; ++j) {
                weights[j] = a.scale * dot<Simd>(query, key + j * a.stride, a.head_width);
            }
            softmax<Simd>(weights, a.positions);
            float *out = a.out + i * a.out_stride + column;
            along<Simd>(a.head_width, [&](int64_t at, int, int count) __attribute__((always_inline)) {
                auto sum = Simd::mul(Simd::set(weights[0]), Simd::load_first(value + at, count));
                for (int64_t j = 1; j < a.positions; ++j) {
                    sum = Simd::fma(Simd::set(weights[j]), Simd::load_first(value + j * a.stride + at, count), sum);
                }
                Simd::store_first(out + at, count, sum);
            });
        }
    }
}

}  // namespace mmkg
