// Products with weights that lie in rows, as a file has them: a few rows and a strip of columns stay in registers over
// the whole inner axis. Weights are read from memory once: tiles find those of this slice in the second-level cache,
// and fetch those of the next meanwhile, in the order in which they lie.
#pragma once

#include "layers/encoder_set.h"
#include "simd/half.h"

namespace mmkg {

// For so many tiles or more, weights of two bytes are widened once; for fewer, at every use.
constexpr int64_t kTilesWorthWidening = 4;

// `weights` are those of the strip that begins at `column`, `stride` of them a row.
template <class Simd, int Rows, int Vectors, class Weight>
void slice_tile(const Slice &s, int64_t row, int64_t column, const Weight *weights, ptrdiff_t stride,
                const char *ahead, ptrdiff_t ahead_step) {
    using Float = typename Simd::Float;
    constexpr int rows_an_address = 3, addresses = (Rows + rows_an_address - 1) / rows_an_address;
    Float sum[Rows][Vectors];
#pragma GCC unroll 16
    for (auto &of_row : sum) {
#pragma GCC unroll 16
        for (auto &part : of_row) part = Simd::zero();
    }
    const float *left[addresses];
#pragma GCC unroll 16
    for (int a = 0; a < addresses; ++a) left[a] = s.left + (row + a * rows_an_address) * s.left_stride;
    const auto value = [&](int r, int64_t k) __attribute__((always_inline)) {
        return Simd::broadcast(left[r / rows_an_address] + (r % rows_an_address) * s.left_stride + k);
    };

#pragma GCC unroll 4
    for (int64_t k = 0; k < s.width; ++k) {
#pragma GCC unroll 16
        for (int line = 0; line < Vectors * Simd::width * static_cast<int>(sizeof(Weight)); line += 64) {
            __builtin_prefetch(ahead + line, 0, 2);
        }
        // What there is less of stays in registers.
        if constexpr (Vectors > Rows) {
            Float values[Rows];
#pragma GCC unroll 16
            for (int r = 0; r < Rows; ++r) values[r] = value(r, k);
#pragma GCC unroll 16
            for (int v = 0; v < Vectors; ++v) {
                const Float weight = Simd::load_value(weights + v * Simd::width);
#pragma GCC unroll 16
                for (int r = 0; r < Rows; ++r) sum[r][v] = Simd::fma(values[r], weight, sum[r][v]);
            }
        } else {
            Float weight[Vectors];
#pragma GCC unroll 16
            for (int v = 0; v < Vectors; ++v) weight[v] = Simd::load_value(weights + v * Simd::width);
#pragma GCC unroll 16
            for (int r = 0; r < Rows; ++r) {
                const Float factor = value(r, k);
#pragma GCC unroll 16
                for (int v = 0; v < Vectors; ++v) sum[r][v] = Simd::fma(factor, weight[v], sum[r][v]);
            }
        }
        weights += stride;
        ahead += ahead_step;
    }

#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) {
        const Float scale = Simd::broadcast(s.scale + (row + r) * s.scale_stride);
        float *const to = s.sums + (row + r) * s.sums_stride + column;
#pragma GCC unroll 16
        for (int v = 0; v < Vectors; ++v) {
            Simd::store(to + v * Simd::width, Simd::fma(scale, sum[r][v], Simd::load(to + v * Simd::width)));
        }
    }
}

template <class Simd, int Vectors, class Weight>
void widen_strip(const Weight *weights, int64_t width, float *strip) {
    for (int64_t k = 0; k < width; ++k, weights += width, strip += Vectors * Simd::width) {
#pragma GCC unroll 16
        for (int v = 0; v < Vectors; ++v) {
            Simd::store(strip + v * Simd::width, Simd::load_value(weights + v * Simd::width));
        }
    }
}

// Rows from `first` on, a multiple of a tile, strip by strip from `column` on; gives the first column that is left.
template <class Simd, int Rows, int Vectors, class Weight>
int64_t slice_strips(const Slice &s, int64_t first, int64_t rows, int64_t column) {
    constexpr int64_t strip = Vectors * Simd::width, strip_bytes = strip * sizeof(Weight);
    static_assert(Rows < Simd::tile_rows || strip <= kColumnGroup, "room in Slice::strip");
    const int64_t columns = rounded_up(s.width, kColumnGroup), tiles = rows / Rows;
    // One row with strips as wide as rows reads its weights from end to end: the processor sees that, and fetches.
    const bool fetch = first == 0 && !(Rows == 1 && strip >= columns);
    // Each tile fetches its share, a piece with every step: at once they would hold up the first.
    const ptrdiff_t ahead_step = fetch ? (strip_bytes + tiles - 1) / tiles : 0;
    for (; column + strip <= columns; column += strip) {
        const Weight *weights = static_cast<const Weight *>(s.weights) + column;
        const char *const upcoming = static_cast<const char *>(s.upcoming) + strip_bytes * (column / strip) * s.width;
        const bool widen = Rows == Simd::tile_rows && sizeof(Weight) < sizeof(float) && tiles >= kTilesWorthWidening;
        if (widen) widen_strip<Simd, Vectors>(weights, s.width, s.strip);
        for (int64_t tile = 0; tile < tiles; ++tile) {
            const int64_t row = first + tile * Rows;
            const char *const ahead = upcoming + ahead_step * tile * s.width;
            if (widen) {
                slice_tile<Simd, Rows, Vectors>(s, row, column, s.strip, strip, ahead, ahead_step);
            } else {
                slice_tile<Simd, Rows, Vectors>(s, row, column, weights, s.width, ahead, ahead_step);
            }
        }
    }
    return column;
}

// Vectors of a strip: a power of two panels, in all up to two thirds as many sums as a whole tile has; the other
// registers are for weights that are converted.
template <class Simd>
constexpr int strip_vectors(int rows) {
    constexpr int panel = Simd::panel / Simd::width, sums = panel * Simd::tile_rows * 2 / 3;
    int vectors = panel;
    while (2 * vectors * rows <= sums) vectors *= 2;
    return vectors;
}

template <class Simd, int Rows, class Weight>
void slice_rows(const Slice &s, int64_t first, int64_t rows) {
    if constexpr (Rows > 0) {
        if (rows >= Rows) {
            constexpr int panel = Simd::panel / Simd::width, wide = strip_vectors<Simd>(Rows);
            const int64_t whole = rows / Rows * Rows;
            const int64_t column = slice_strips<Simd, Rows, wide, Weight>(s, first, whole, 0);
            if constexpr (wide != panel) slice_strips<Simd, Rows, panel, Weight>(s, first, whole, column);
            first += whole;
            rows -= whole;
        }
        slice_rows<Simd, Rows - 1, Weight>(s, first, rows);
    }
}

template <class Simd, class Weight>
void add_slice(const Slice &s) {
    slice_rows<Simd, Simd::tile_rows, Weight>(s, 0, s.rows);
}

}  // namespace mmkg
