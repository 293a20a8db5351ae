// Products with packed weights: a tile of rows and one panel of columns stay in registers over the whole inner axis.
#pragma once

#include "layers/encoder_set.h"

namespace mmkg {

// Rows are addressed from every third one, so that a tile needs few registers for addresses.
constexpr int kRowsPerAddress = 3;

template <class Simd, int Rows>
void product_tile(const Product &p, int64_t row, int64_t column) {
    using Float = typename Simd::Float;
    constexpr int vectors = Simd::panel / Simd::width, addresses = (Rows + kRowsPerAddress - 1) / kRowsPerAddress;
    Float sum[Rows][vectors];
#pragma GCC unroll 16
    for (auto &of_row : sum) {
#pragma GCC unroll 4
        for (auto &part : of_row) part = Simd::zero();
    }
    const float *panel = p.panels + column / Simd::panel * p.panel_stride;
    const ptrdiff_t stride = p.left_stride;
    const float *left[addresses];
#pragma GCC unroll 16
    for (int a = 0; a < addresses; ++a) left[a] = p.left + (row + a * kRowsPerAddress) * stride;

    const auto step = [&](int k) __attribute__((always_inline)) {
        Float weight[vectors];
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) weight[v] = Simd::load(panel + k * Simd::panel + v * Simd::width);
#pragma GCC unroll 16
        for (int r = 0; r < Rows; ++r) {
            const Float value = Simd::broadcast(left[r / kRowsPerAddress] + (r % kRowsPerAddress) * stride + k);
#pragma GCC unroll 4
            for (int v = 0; v < vectors; ++v) sum[r][v] = Simd::fma(value, weight[v], sum[r][v]);
        }
    };
    int64_t k = p.inner;
    for (; k >= 4; k -= 4) {
        step(0), step(1), step(2), step(3);
        panel += 4 * Simd::panel;
#pragma GCC unroll 16
        for (int a = 0; a < addresses; ++a) left[a] += 4;
    }
    for (; k > 0; --k) {
        step(0);
        panel += Simd::panel;
#pragma GCC unroll 16
        for (int a = 0; a < addresses; ++a) left[a] += 1;
    }

    const float *start = p.start + row * p.start_stride + column;
    float *out = p.out + row * p.out_stride + column;
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) {
            const Float found = Simd::add(sum[r][v], Simd::load(start + r * p.start_stride + v * Simd::width));
            // max(0, NaN) is NaN in this order.
            Simd::store(out + r * p.out_stride + v * Simd::width, p.rectify ? Simd::max(Simd::zero(), found) : found);
        }
    }
}

// The last rows: a tile of just as many.
template <class Simd, int Rows>
void last_rows(const Product &p, int64_t row, int64_t column) {
    if constexpr (Rows > 0) {
        if (p.rows - row == Rows) return product_tile<Simd, Rows>(p, row, column);
        last_rows<Simd, Rows - 1>(p, row, column);
    }
}

template <class Simd>
void multiply(const Product &p) {
    for (int64_t column = 0; column < p.columns; column += Simd::panel) {
        int64_t row = 0;
        for (; row + Simd::tile_rows <= p.rows; row += Simd::tile_rows) {
            product_tile<Simd, Simd::tile_rows>(p, row, column);
        }
        last_rows<Simd, Simd::tile_rows - 1>(p, row, column);
    }
}

}  // namespace mmkg
