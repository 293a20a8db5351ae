// The first pass: approximate values of a tile of rows and queries, each lane of a vector a query, in registers only.
//
// Queries are repacked so that one load gives a coordinate of a whole vector of them, rows are read as they lie and
// broadcast: no sums across lanes, and nothing of the table is copied. The next tile is prefetched in the order of its
// addresses, because memory is slow for several rows at once (scoring/canonical.h).
#pragma once

#include "scoring/instruction_set.h"

namespace mmkg {

// Coordinates between two prefetches of a row: a cache line.
constexpr int64_t kLine = 16;

template <class Simd, int Rows, int Vectors>
using Values = typename Simd::Float[Rows][Vectors];

template <class Simd, int Rows_, int Vectors_>
struct InnerProductTile {
    using S = Simd;
    static constexpr int Rows = Rows_, Vectors = Vectors_, lanes = Vectors_ * Simd::width;

    [[gnu::always_inline]] static inline void run(const Tile &tile, Values<Simd, Rows, Vectors> &value) {
        const float *row[Rows];
#pragma GCC unroll 12
        for (int r = 0; r < Rows; ++r) row[r] = tile.rows + r * tile.stride;
        const float *ahead = tile.upcoming;
        const float *queries = tile.panel;
        for (int64_t line = 0; line < tile.coordinates; line += kLine) {
#pragma GCC unroll 12
            for (int r = 0; r < Rows; ++r, ahead += kLine) __builtin_prefetch(ahead, 0, 2);
            const int64_t end = line + kLine < tile.coordinates ? line + kLine : tile.coordinates;
            for (int64_t c = line; c < end; ++c, queries += Vectors * Simd::width) {
                typename Simd::Float query[Vectors];
#pragma GCC unroll 2
                for (int v = 0; v < Vectors; ++v) query[v] = Simd::load(queries + v * Simd::width);
#pragma GCC unroll 12
                for (int r = 0; r < Rows; ++r) {
                    const auto one = Simd::broadcast(row[r] + c);
#pragma GCC unroll 2
                    for (int v = 0; v < Vectors; ++v) value[r][v] = Simd::roughly_fma(one, query[v], value[r][v]);
                }
            }
        }
    }
};

template <class Simd, int Rows_, int Vectors_>
struct ComplexDistanceTile {
    using S = Simd;
    static constexpr int Rows = Rows_, Vectors = Vectors_, lanes = Vectors_ * Simd::width;

    [[gnu::always_inline]] static inline void run(const Tile &tile, Values<Simd, Rows, Vectors> &value) {
        const float *row[Rows];
#pragma GCC unroll 12
        for (int r = 0; r < Rows; ++r) row[r] = tile.rows + r * tile.stride;
        const float *ahead = tile.upcoming;
        const int64_t d = tile.coordinates;
        const float *queries = tile.panel;
        const auto tiny = Simd::set(kTinySquare);
        for (int64_t line = 0; line < d; line += kLine) {
#pragma GCC unroll 12
            for (int r = 0; r < 2 * Rows; ++r, ahead += kLine) __builtin_prefetch(ahead, 0, 2);
            const int64_t end = line + kLine < d ? line + kLine : d;
            for (int64_t c = line; c < end; ++c, queries += 2 * Vectors * Simd::width) {
#pragma GCC unroll 12
                for (int r = 0; r < Rows; ++r) {
                    const auto row_re = Simd::broadcast(row[r] + c), row_im = Simd::broadcast(row[r] + c + d);
#pragma GCC unroll 2
                    for (int v = 0; v < Vectors; ++v) {
                        const auto re = Simd::sub(Simd::load(queries + v * Simd::width), row_re);
                        const auto im = Simd::sub(Simd::load(queries + (Vectors + v) * Simd::width), row_im);
                        const auto square = Simd::roughly_fma(im, im, Simd::roughly_fma(re, re, tiny));
                        value[r][v] = Simd::minus_root(value[r][v], square);
                    }
                }
            }
        }
    }
};

template <class Kernel>
[[gnu::always_inline]] inline void values_of(const Tile &tile,
                                             Values<typename Kernel::S, Kernel::Rows, Kernel::Vectors> &value) {
#pragma GCC unroll 12
    for (auto &row : value) {
#pragma GCC unroll 2
        for (auto &vector : row) vector = Kernel::S::zero();
    }
    Kernel::run(tile, value);
}

inline int add_hits(uint32_t bits, int row, int first_lane, Hit *hits, int found) {
    for (; bits; bits &= bits - 1) hits[found++] = Hit{row, first_lane + __builtin_ctz(bits)};
    return found;
}

// Comparisons with NaN are false, so a NaN value or bound makes a hit: it is settled with the canonical score.
template <class Kernel>
int select_tile(const Tile &tile, Hit *hits) {
    using Simd = typename Kernel::S;
    Values<Simd, Kernel::Rows, Kernel::Vectors> value;
    values_of<Kernel>(tile, value);
    const auto norm = Simd::set(tile.norm);
    int found = 0;
#pragma GCC unroll 2
    for (int v = 0; v < Kernel::Vectors; ++v) {
        const int lane = v * Simd::width;
        const auto cut = Simd::sub(Simd::load(tile.low + lane), Simd::mul(Simd::load(tile.slope + lane), norm));
#pragma GCC unroll 12
        for (int r = 0; r < Kernel::Rows; ++r) {
            const uint32_t open = ~Simd::bits(Simd::less(value[r][v], cut)) & Simd::all;
            if (__builtin_expect(open != 0, 0)) found = add_hits(open, r, lane, hits, found);
        }
    }
    return found;
}

template <class Kernel>
int count_tile(const Tile &tile, int32_t *better, Hit *hits) {
    using Simd = typename Kernel::S;
    Values<Simd, Kernel::Rows, Kernel::Vectors> value;
    values_of<Kernel>(tile, value);
    const auto norm = Simd::set(tile.norm);
    int found = 0;
#pragma GCC unroll 2
    for (int v = 0; v < Kernel::Vectors; ++v) {
        const int lane = v * Simd::width;
        const auto bound = Simd::mul(Simd::load(tile.slope + lane), norm);
        const auto low = Simd::sub(Simd::load(tile.low + lane), bound);
        const auto high = Simd::add(Simd::load(tile.high + lane), bound);
        auto sure = Simd::load_counts(better + lane);
#pragma GCC unroll 12
        for (int r = 0; r < Kernel::Rows; ++r) {
            const auto above = Simd::less(high, value[r][v]), below = Simd::less(value[r][v], low);
            sure = Simd::add_one(sure, above);
            const uint32_t open = ~(Simd::bits(above) | Simd::bits(below)) & Simd::all;
            if (__builtin_expect(open != 0, 0)) found = add_hits(open, r, lane, hits, found);
        }
        Simd::store_counts(better + lane, sure);
    }
    return found;
}

}  // namespace mmkg
