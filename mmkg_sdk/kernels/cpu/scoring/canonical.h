// The canonical scores of mmkg.h, for any Simd whose vectors divide the 16 lanes.
#pragma once

#include "scoring/instruction_set.h"

namespace mmkg {

// Rows are read one after the other: two or four at once read memory at 11 GB/s where one reads at 27 (AMD EPYC, one
// thread, 200,000 rows of 1 KiB). The processor overlaps the additions of consecutive rows by itself.
constexpr int kRowsAhead = 4;  // prefetched

template <class Simd>
struct InnerProductLanes {
    // Queries that share the loads of a row, as far as the registers go.
    static constexpr int queries = Simd::exact_queries;

    static int64_t coordinates(int64_t width) { return width; }

    // Adds n coordinates (16 if Whole) from c on to the lanes of each query.
    template <int Queries, bool Whole>
    [[gnu::always_inline]] static inline void add(const float *const (&query)[Queries], const float *row, int64_t,
                                                  int64_t c, int n,
                                                  typename Simd::Float (&sum)[Queries][kLanes / Simd::width]) {
#pragma GCC unroll 2
        for (int part = 0; part < kLanes / Simd::width; ++part) {
            const int at = part * Simd::width;
            const auto value = Simd::template load_some<Whole>(row + c + at, n - at);
#pragma GCC unroll 4
            for (int q = 0; q < Queries; ++q) {
                const auto one = Simd::template load_some<Whole>(query[q] + c + at, n - at);
                sum[q][part] = Simd::fma(one, value, sum[q][part]);
            }
        }
    }

    static float score(float sum, float) { return sum + 0.0f; }
};

template <class Simd>
struct ComplexDistanceLanes {
    static constexpr int queries = 1;  // roots take far longer than loads

    static int64_t coordinates(int64_t width) { return width / 2; }

    template <int Queries, bool Whole>
    [[gnu::always_inline]] static inline void add(const float *const (&query)[Queries], const float *row, int64_t d,
                                                  int64_t c, int n,
                                                  typename Simd::Float (&sum)[Queries][kLanes / Simd::width]) {
#pragma GCC unroll 2
        for (int part = 0; part < kLanes / Simd::width; ++part) {
            const int at = part * Simd::width;
            const auto row_re = Simd::template load_some<Whole>(row + c + at, n - at);
            const auto row_im = Simd::template load_some<Whole>(row + d + c + at, n - at);
#pragma GCC unroll 4
            for (int q = 0; q < Queries; ++q) {
                const auto re = Simd::sub(Simd::template load_some<Whole>(query[q] + c + at, n - at), row_re);
                const auto im = Simd::sub(Simd::template load_some<Whole>(query[q] + d + c + at, n - at), row_im);
                const auto modulus = Simd::sqrt(Simd::fma(re, re, Simd::mul(im, im)));
                sum[q][part] = Simd::add(sum[q][part], modulus);
            }
        }
    }

    static float score(float sum, float margin) { return (margin - sum) + 0.0f; }
};

// One row and a few queries; `ahead` is a row to prefetch, or the row itself.
template <class Simd, template <class> class Score, int Queries>
[[gnu::always_inline]] inline void exact_row(const float *const (&query)[Queries], const float *row, const float *ahead,
                                             int64_t width, float margin, float (&scores)[Queries]) {
    using Lanes = Score<Simd>;
    typename Simd::Float sum[Queries][kLanes / Simd::width];
#pragma GCC unroll 4
    for (auto &of_query : sum) {
#pragma GCC unroll 2
        for (auto &part : of_query) part = Simd::zero();
    }
    const int64_t coordinates = Lanes::coordinates(width);
    int64_t c = 0;
    for (; c + kLanes <= coordinates; c += kLanes) {
        __builtin_prefetch(ahead + c);
        if (coordinates != width) __builtin_prefetch(ahead + coordinates + c);
        Lanes::template add<Queries, true>(query, row, coordinates, c, kLanes, sum);
    }
    if (c < coordinates) {
        Lanes::template add<Queries, false>(query, row, coordinates, c, static_cast<int>(coordinates - c), sum);
    }
#pragma GCC unroll 4
    for (int q = 0; q < Queries; ++q) scores[q] = Lanes::score(Simd::tree(sum[q]), margin);
}

// All rows with Queries queries, from `first_query` on.
template <class Simd, template <class> class Score, int Queries>
void exact_queries(const ExactRows &in, int64_t first_query, float *scores) {
    const float *query[Queries];
    for (int q = 0; q < Queries; ++q) query[q] = in.queries + (first_query + q) * in.width;
    scores += first_query * in.count;
    for (int64_t i = 0; i < in.count; ++i) {
        const float *row = in.rows + i * in.width;
        float found[Queries];
        exact_row<Simd, Score>(query, row, row + kRowsAhead * in.width, in.width, in.margin, found);
        for (int q = 0; q < Queries; ++q) scores[q * in.count + i] = found[q];
    }
}

template <class Simd, template <class> class Score>
void exact_rows(const ExactRows &in, float *scores) {
    constexpr int most = Score<Simd>::queries;
    int64_t query = 0;
    for (; query + most <= in.num_queries; query += most) exact_queries<Simd, Score, most>(in, query, scores);
    if constexpr (most > 2) {
        for (; query + 2 <= in.num_queries; query += 2) exact_queries<Simd, Score, 2>(in, query, scores);
    }
    for (; query < in.num_queries; ++query) exact_queries<Simd, Score, 1>(in, query, scores);
}

// Scores do not change when a query and a row change places, in both kinds: rows are taken as queries are above, so
// that the query is loaded once for a few of them.
template <class Simd, template <class> class Score>
void exact_chosen(const ExactChosen &in, float *scores) {
    constexpr int most = Score<Simd>::queries;
    int64_t i = 0;
    for (; i + most <= in.count; i += most) {
        const float *rows[most];
        float found[most];
        for (int r = 0; r < most; ++r) rows[r] = in.rows[i + r];
        exact_row<Simd, Score>(rows, in.query, in.query, in.width, in.margin, found);
        for (int r = 0; r < most; ++r) scores[i + r] = found[r];
    }
    for (; i < in.count; ++i) {
        const float *const row[1] = {in.rows[i]};
        float found[1];
        exact_row<Simd, Score>(row, in.query, in.query, in.width, in.margin, found);
        scores[i] = found[0];
    }
}

// One after the other, with nothing in between that could be mispredicted: the processor overlaps them.
template <class Simd, template <class> class Score>
void exact_pairs(const ExactPairs &in, float *scores) {
    for (int64_t i = 0; i < in.count; ++i) {
        const float *const query[1] = {in.queries[i]};
        float found[1];
        exact_row<Simd, Score>(query, in.rows[i], in.rows[i], in.width, in.margin, found);
        scores[i] = found[0];
    }
}

}  // namespace mmkg
