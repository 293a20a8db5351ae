// Sums along a row in the order that all instruction sets have: 16 lanes and a tree, as in mmkg.h.
#pragma once

#include <cstdint>

namespace mmkg {

constexpr int kSumLanes = 16;

template <class Simd>
struct LaneSum {
    static constexpr int parts = kSumLanes / Simd::width;
    typename Simd::Float lanes[parts];

    LaneSum() {
        for (auto &part : lanes) part = Simd::zero();
    }
    float total() const { return Simd::tree(lanes); }
};

// visit(column, part, count) for every vector of a row; a `count` below the vector's width is the rest of the row, and
// may be negative where a vector lies past the end.
template <class Simd, class Visit>
[[gnu::always_inline]] inline void along(int64_t width, Visit visit) {
    int64_t column = 0;
    for (; column + kSumLanes <= width; column += kSumLanes) {
        for (int part = 0; part < kSumLanes / Simd::width; ++part) {
            visit(column + part * Simd::width, part, Simd::width);
        }
    }
    if (column == width) return;
    for (int part = 0; part < kSumLanes / Simd::width; ++part) {
        const int64_t at = column + part * Simd::width, left = width - at;
        visit(at, part, static_cast<int>(left < Simd::width ? left : Simd::width));
    }
}

}  // namespace mmkg
