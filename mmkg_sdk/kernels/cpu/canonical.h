// The canonical scores of mmkg.h, for any Simd whose vectors divide the 16 lanes.
#pragma once

#include "instruction_set.h"

namespace mmkg {

// A few rows at a time share the loads of the query and hide the latency of the additions.
constexpr int kExactRows = 4;

template <class Simd>
struct InnerProductLanes {
    static int64_t coordinates(int64_t width) { return width; }

    template <int Rows, bool Whole>
    [[gnu::always_inline]] static inline void add(const ExactRows &in, const float *const (&row)[Rows], int64_t c, int n,
                                                  typename Simd::Float (&sum)[Rows][kLanes / Simd::width]) {
#pragma GCC unroll 4
        for (int part = 0; part < kLanes / Simd::width; ++part) {
            const int at = part * Simd::width;
            const auto query = Simd::template load_some<Whole>(in.query + c + at, n - at);
#pragma GCC unroll 4
            for (int r = 0; r < Rows; ++r) {
                const auto value = Simd::template load_some<Whole>(row[r] + c + at, n - at);
                sum[r][part] = Simd::fma(query, value, sum[r][part]);
            }
        }
    }

    static float score(float sum, float) { return sum + 0.0f; }
};

template <class Simd>
struct ComplexDistanceLanes {
    static int64_t coordinates(int64_t width) { return width / 2; }

    template <int Rows, bool Whole>
    [[gnu::always_inline]] static inline void add(const ExactRows &in, const float *const (&row)[Rows], int64_t c, int n,
                                                  typename Simd::Float (&sum)[Rows][kLanes / Simd::width]) {
        const int64_t d = in.width / 2;
#pragma GCC unroll 4
        for (int part = 0; part < kLanes / Simd::width; ++part) {
            const int at = part * Simd::width;
            const auto query_re = Simd::template load_some<Whole>(in.query + c + at, n - at);
            const auto query_im = Simd::template load_some<Whole>(in.query + d + c + at, n - at);
#pragma GCC unroll 4
            for (int r = 0; r < Rows; ++r) {
                const auto re = Simd::sub(query_re, Simd::template load_some<Whole>(row[r] + c + at, n - at));
                const auto im = Simd::sub(query_im, Simd::template load_some<Whole>(row[r] + d + c + at, n - at));
                const auto modulus = Simd::sqrt(Simd::fma(re, re, Simd::mul(im, im)));
                sum[r][part] = Simd::add(sum[r][part], modulus);
            }
        }
    }

    static float score(float sum, float margin) { return (margin - sum) + 0.0f; }
};

template <class Simd, template <class> class Score, int Rows>
[[gnu::always_inline]] inline void exact_block(const ExactRows &in, int64_t first, float *scores) {
    using Lanes = Score<Simd>;
    typename Simd::Float sum[Rows][kLanes / Simd::width];
    const float *row[Rows];
#pragma GCC unroll 4
    for (int r = 0; r < Rows; ++r) {
        row[r] = in.rows + (first + r) * in.stride;
#pragma GCC unroll 4
        for (auto &part : sum[r]) part = Simd::zero();
    }
    const int64_t coordinates = Lanes::coordinates(in.width);
    int64_t c = 0;
    for (; c + kLanes <= coordinates; c += kLanes) Lanes::template add<Rows, true>(in, row, c, kLanes, sum);
    if (c < coordinates) Lanes::template add<Rows, false>(in, row, c, static_cast<int>(coordinates - c), sum);
#pragma GCC unroll 4
    for (int r = 0; r < Rows; ++r) scores[first + r] = Lanes::score(Simd::tree(sum[r]), in.margin);
}

template <class Simd, template <class> class Score>
void exact_rows(const ExactRows &in, float *scores) {
    int64_t first = 0;
    for (; first + kExactRows <= in.count; first += kExactRows) exact_block<Simd, Score, kExactRows>(in, first, scores);
    for (; first < in.count; ++first) exact_block<Simd, Score, 1>(in, first, scores);
}

}  // namespace mmkg
