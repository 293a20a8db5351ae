// Attention of one query, whose logits and values lie in tables.
#pragma once

#include <cmath>

#include "layers/encoder_set.h"
#include "simd/lanes.h"

namespace mmkg {

// exp(x) for x <= 0, to about 1e-7 of itself; 0 below -87, before it would be denormal. NaN stays NaN.
// Range reduction and polynomial: expf of the Cephes library (S. Moshier).
template <class Simd>
[[gnu::always_inline]] inline typename Simd::Float exp_not_positive(typename Simd::Float x) {
    // Adding 1.5 * 2^23 rounds to a whole number and leaves it in the lowest bits.
    const auto shift = Simd::set(12582912.0f);
    const auto shifted = Simd::fma(x, Simd::set(1.44269504f), shift);
    const auto whole = Simd::sub(shifted, shift);
    auto rest = Simd::fma(whole, Simd::set(-0.693359375f), x);
    rest = Simd::fma(whole, Simd::set(2.12194440e-4f), rest);
    constexpr float coefficients[] = {1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f,
                                      5.0000001201e-1f, 1.0f, 1.0f};
    auto sum = Simd::set(1.9875691500e-4f);
#pragma GCC unroll 8
    for (const float coefficient : coefficients) sum = Simd::fma(sum, rest, Simd::set(coefficient));
    return Simd::zero_where_less(Simd::times_power_of_two(sum, shifted), x, Simd::set(-87.0f));
}

// Softmax in place. Logits past `count`, up to a multiple of kHeadGroup, become 0.
template <class Simd>
void softmax(float *logits, int64_t count) {
    const int64_t padded = rounded_up(count, kHeadGroup);
    for (int64_t i = count; i < padded; ++i) logits[i] = -INFINITY;
    auto most = Simd::load(logits);
    for (int64_t i = Simd::width; i < padded; i += Simd::width) most = Simd::max(most, Simd::load(logits + i));
    float lanes[Simd::width];
    Simd::store(lanes, most);
    for (const float lane : lanes) lanes[0] = lane > lanes[0] ? lane : lanes[0];
    const auto maximum = Simd::set(lanes[0]);
    LaneSum<Simd> sum;
    along<Simd>(padded, [&](int64_t at, int part, int) __attribute__((always_inline)) {
        const auto weight = exp_not_positive<Simd>(Simd::sub(Simd::load(logits + at), maximum));
        Simd::store(logits + at, weight);
        sum.lanes[part] = Simd::add(sum.lanes[part], weight);
    });
    const auto inverse = Simd::set(1.0f / sum.total());
    for (int64_t i = 0; i < padded; i += Simd::width) {
        Simd::store(logits + i, Simd::mul(inverse, Simd::load(logits + i)));
    }
}

template <class Simd>
float dot(const float *a, const float *b, int64_t width) {
    LaneSum<Simd> sum;
    along<Simd>(width, [&](int64_t at, int part, int count) __attribute__((always_inline)) {
        sum.lanes[part] = Simd::fma(Simd::load_first(a + at, count), Simd::load_first(b + at, count), sum.lanes[part]);
    });
    return sum.total();
}

template <class Simd>
void attention_weights(const AttentionWeights &a) {
    for (int64_t head = 0; head < a.heads; ++head) {
        float *weights = a.weights + head * a.weight_stride;
        weights[1] = dot<Simd>(a.structure, a.logit_weight + head * a.width, a.width);
        softmax<Simd>(weights, 2 + a.tokens);
    }
}

// `Vectors` vectors of columns from `column` on; each column is one chain over the tokens.
template <class Simd, class Value, int Vectors>
void weigh_columns(const WeightedSum &s, int64_t column) {
    using Float = typename Simd::Float;
    const ptrdiff_t stride = s.columns;
    const Value *values = static_cast<const Value *>(s.values) + column;
    float *context = s.context + column;
    Float sum[Vectors];
    const Float pooled = Simd::set(s.weights[0]), own = Simd::set(s.weights[1]);
#pragma GCC unroll 16
    for (int v = 0; v < Vectors; ++v) {
        const int64_t at = v * Simd::width;
        sum[v] = Simd::fma(own, Simd::load(context + at), Simd::mul(pooled, Simd::load(s.pooled_value + column + at)));
    }
    constexpr int line = 64 / sizeof(Value);
    for (int64_t i = 0; i < s.tokens; ++i) {
        // Into the second-level cache, which keeps twice as many misses in flight as the first: 1.5 times as fast.
        const Value *next = values + s.rows[i + kFetchAhead] * stride;
#pragma GCC unroll 16
        for (int at = 0; at < Vectors * Simd::width; at += line) __builtin_prefetch(next + at, 0, 2);
        const Value *row = values + s.rows[i] * stride;
        const Float weight = Simd::broadcast(s.weights + 2 + i);
#pragma GCC unroll 16
        for (int v = 0; v < Vectors; ++v) sum[v] = Simd::fma(weight, Simd::load_value(row + v * Simd::width), sum[v]);
    }
#pragma GCC unroll 16
    for (int v = 0; v < Vectors; ++v) Simd::store(context + v * Simd::width, sum[v]);
}

template <class Simd, class Value, int Vectors>
void weigh_from(const WeightedSum &s, int64_t column) {
    for (; column + Vectors * Simd::width <= s.columns; column += Vectors * Simd::width) {
        weigh_columns<Simd, Value, Vectors>(s, column);
    }
    if constexpr (Vectors > 1) {
        if (column < s.columns) weigh_from<Simd, Value, Vectors / 2>(s, column);
    }
}

template <class Simd, class Value>
void weigh(const WeightedSum &s) {
    weigh_from<Simd, Value, Simd::value_vectors>(s, 0);
}

}  // namespace mmkg
