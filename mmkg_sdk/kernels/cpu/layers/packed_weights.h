// Weights as the products of layers/gemm.h want them: checked, in panels, padded with zeros.
#pragma once

#include <cmath>
#include <cstring>
#include <string>

#include "common/aligned.h"
#include "common/status.h"
#include "layers/encoder_set.h"

namespace mmkg {

// A matrix [inner, columns] in panels, padded with zeros, and its bias.
struct PackedMatrix {
    int64_t inner = 0, columns = 0;  // columns: a multiple of kColumnGroup
    Aligned<float> panels, bias;
};

inline void require_finite(const float *values, int64_t count, const char *name) {
    require(values, (std::string("weights: ") + name + " is NULL").c_str());
    for (int64_t i = 0; i < count; ++i) {
        if (std::isfinite(values[i])) continue;
        throw BadArgument(std::string("weights: ") + name + " holds NaN or infinity at " + std::to_string(i));
    }
}

inline Aligned<float> zeros(int64_t count) {
    Aligned<float> out(count);
    if (count) std::memset(out.data(), 0, static_cast<size_t>(count) * sizeof(float));
    return out;
}

inline Aligned<float> copy(const float *values, int64_t count, const char *name) {
    require_finite(values, count, name);
    Aligned<float> out = zeros(rounded_up(count, kColumnGroup));
    std::memcpy(out.data(), values, static_cast<size_t>(count) * sizeof(float));
    return out;
}

// Where a row or column of a matrix goes.
struct AsTheyAre {
    int64_t operator()(int64_t column) const { return column; }
};

// Puts a matrix into its panels of `out`, which lie there as zeros; rows and columns go to their places.
template <class RowPlace, class ColumnPlace>
void pack_into(PackedMatrix &out, const float *weight, int64_t rows, int64_t columns, RowPlace row_place,
               ColumnPlace column_place, int panel, const char *name) {
    require_finite(weight, rows * columns, name);
    for (int64_t row = 0; row < rows; ++row) {
        for (int64_t column = 0; column < columns; ++column) {
            const int64_t to = column_place(column);
            out.panels[(to / panel * out.inner + row_place(row)) * panel + to % panel] = weight[row * columns + column];
        }
    }
}

// A matrix whose rows and columns go to padded places.
template <class RowPlace, class ColumnPlace>
PackedMatrix pack(const float *weight, int64_t rows, int64_t columns, int64_t inner, int64_t padded, RowPlace row_place,
                  ColumnPlace column_place, int panel, const char *name) {
    PackedMatrix out;
    out.inner = inner;
    out.columns = rounded_up(padded, kColumnGroup);
    out.panels = zeros(out.inner * out.columns);
    pack_into(out, weight, rows, columns, row_place, column_place, panel, name);
    return out;
}

// Floats from one row of activations to the next: a cache line more than a multiple of the column group. With powers of
// two, the rows of a tile would meet in the same few places of the first cache.
inline ptrdiff_t stride_of(int64_t columns) { return rounded_up(columns, kColumnGroup) + kHeadGroup; }

// How many rows a block has: the activations of one are about a third of a second-level cache of 1 MiB; the rest is for
// the weights.
inline int64_t block_rows(int64_t row_floats, int tile_rows) {
    constexpr int64_t block_floats = 88 << 10;
    const int64_t tiles = block_floats / (row_floats * tile_rows);
    return tile_rows * (tiles < 1 ? 1 : tiles > 16 ? 16 : tiles);
}

}  // namespace mmkg
