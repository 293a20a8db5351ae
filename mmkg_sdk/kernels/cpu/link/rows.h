// Rows of numbers in eights: inner products, and the packing of queries.
#pragma once

#include <cmath>
#include <cstring>

#include "link/interaction_set.h"

namespace mmkg {

// visit(row, sum): adds to eight sums of lanes for eight rows at a time, which then become eight numbers.
template <class Eight, class Left, class Right>
[[gnu::always_inline]] inline void products(int64_t width, int64_t count, float *out, Left left, Right right) {
    for (int64_t row = 0; row < count; row += kEight) {
        typename Eight::Float sum[kEight];
#pragma GCC unroll 8
        for (auto &part : sum) part = Eight::zero();
        for (int64_t at = 0; at < width; at += kEight) {
#pragma GCC unroll 8
            for (int i = 0; i < kEight; ++i) {
                sum[i] = Eight::fma(Eight::load(left(row + i) + at), Eight::load(right(row + i) + at), sum[i]);
            }
        }
        Eight::store(out + row, Eight::sums(sum));
    }
}

template <class Eight>
void inner_products(const float *rows, ptrdiff_t stride, const float *vector, int64_t width, int64_t count,
                    float *out) {
    products<Eight>(width, count, out, [&](int64_t row) { return rows + row * stride; },
                    [&](int64_t) { return vector; });
}

template <class Eight>
void row_products(const float *a, ptrdiff_t a_stride, const float *b, ptrdiff_t b_stride, int64_t width, int64_t count,
                  float *out) {
    products<Eight>(width, count, out, [&](int64_t row) { return a + row * a_stride; },
                    [&](int64_t row) { return b + row * b_stride; });
}

// Up to eight numbers, float or half; the others are zeros.
template <class Eight, class Stored>
[[gnu::always_inline]] inline typename Eight::Float load_up_to_eight(const Stored *from, int64_t count) {
    if (count >= kEight) return Eight::load_stored(from);
    Stored part[kEight] = {};
    for (int64_t i = 0; i < count; ++i) part[i] = from[i];
    return Eight::load_stored(part);
}

template <class Eight>
void to_float(const void *half, int64_t count, float *out) {
    const auto *from = static_cast<const uint16_t *>(half);
    int64_t at = 0;
    for (; at + kEight <= count; at += kEight) Eight::store(out + at, Eight::load_stored(from + at));
    if (at == count) return;
    float part[kEight];
    Eight::store(part, load_up_to_eight<Eight>(from + at, count - at));
    std::memcpy(out + at, part, static_cast<size_t>(count - at) * sizeof *out);
}

// [rows, stride] -> [columns, rows]; all in eights.
template <class Eight>
void transpose(const float *from, ptrdiff_t stride, int64_t rows, int64_t columns, float *to) {
    for (int64_t row = 0; row < rows; row += kEight) {
        for (int64_t column = 0; column < columns; column += kEight) {
            Eight::transpose(from + row * stride + column, stride, to + column * rows + row, rows);
        }
    }
}

// A row of numbers in eights, as far as there are any; and its sum with `sum`, where one is wanted.
template <class Eight, bool Summed, class Stored>
void read_row(const Stored *from, int64_t width, float *to, float *sum) {
    int64_t at = 0;
    const auto take = [&](typename Eight::Float part) __attribute__((always_inline)) {
        Eight::store(to + at, part);
        if constexpr (Summed) Eight::store(sum + at, Eight::add(Eight::load(sum + at), part));
    };
    for (; at + kEight <= width; at += kEight) take(Eight::load_stored(from + at));
    if (at < width) take(load_up_to_eight<Eight>(from + at, width - at));
}

// Eight rows without the mean row, in int16, each with a unit of its own.
template <class Eight>
void round_rows(const float *rows, ptrdiff_t stride, const float *mean, int64_t width, int16_t *to, float *unit) {
    typename Eight::Float squares[kEight];
#pragma GCC unroll 8
    for (auto &part : squares) part = Eight::zero();
    for (int64_t at = 0; at < width; at += kEight) {
        const auto centre = Eight::load(mean + at);
#pragma GCC unroll 8
        for (int i = 0; i < kEight; ++i) {
            const auto centred = Eight::sub(Eight::load(rows + i * stride + at), centre);
            squares[i] = Eight::fma(centred, centred, squares[i]);
        }
    }
    const auto square = Eight::sums(squares), units = Eight::mul(Eight::sqrt(square), Eight::set(1 / kRowNorm));
    Eight::store(unit, units);
    // Of the smallest rows nothing is left: what they add to a logit is below 1e-30 of a key.
    float factor[kEight];
    const auto least = Eight::set(1e-35f);
    Eight::store(factor, Eight::where_less(least, units, Eight::div(Eight::set(1.0f), units), Eight::zero()));
    for (int64_t at = 0; at < width; at += kEight) {
        const auto centre = Eight::load(mean + at);
#pragma GCC unroll 8
        for (int i = 0; i < kEight; ++i) {
            const auto centred = Eight::sub(Eight::load(rows + i * stride + at), centre);
            Eight::store_rounded(to + i * stride + at, Eight::mul(centred, Eight::set(factor[i])));
        }
    }
}

// Lanes without a position hold what was there before, or nothing: no weight is given to them.
template <class Eight, class Stored, bool Rounded>
void pack(const Queries &q) {
    const int64_t positions = q.eights * kEight, padded = rounded_up(q.width, 2 * kEight);
    for (int64_t entity = 0; entity < q.count; ++entity) {
        const auto *from = static_cast<const Stored *>(q.entities[entity]);
        float *const rows = q.rows + entity * positions * q.stride, *const mean = q.mean + entity * q.mean_stride;
        if constexpr (Rounded) std::memset(mean, 0, static_cast<size_t>(padded) * sizeof *mean);
        for (int64_t row = 0; row < q.length; ++row) {
            read_row<Eight, Rounded>(from + row * q.width, q.width, rows + row * q.stride, mean);
        }
        if constexpr (Rounded) {
            const float length = static_cast<float>(q.length);
            for (int64_t at = 0; at < q.width; ++at) mean[at] /= length;
            for (int64_t row = 0; row < positions; row += kEight) {
                const int64_t place = entity * positions + row;
                round_rows<Eight>(rows + row * q.stride, q.stride, mean, padded, q.rounded + place * q.stride,
                                  q.unit + place);
            }
        }
    }
    if constexpr (Rounded) {
        transpose<Eight>(reinterpret_cast<const float *>(q.rounded), q.stride / 2, q.lanes, padded / 2,
                         static_cast<float *>(q.panel));
    } else {
        transpose<Eight>(q.rows, q.stride, q.lanes, padded, static_cast<float *>(q.panel));
    }
}

}  // namespace mmkg
