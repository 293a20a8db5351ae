// How far a first pass can be from the canonical score, and the comparisons that are sure in spite of it.
//
// u = 2^-24, gamma(n) = n u / (1 - n u) (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section 3.1).
//
// Inner product. Both passes add d products in some order, the first one in at most 2 d roundings, the canonical one in
// d / 16 + 5; each is within gamma(n) sum |q_i e_i| <= gamma(n) |q| |e| of the exact product, and denormal products
// lose less than 2^-149 each. Hence slope = (gamma(2 d) + gamma(d / 16 + 5)) |q| per query, and |e| per row.
//
// Distance. Both passes round q - e to the same numbers; let M be the exact sum of their moduli. The first pass has a
// relative error of root_error and a few u per modulus and gamma(d) for the sum, and adds at most sqrt(2^-126) per
// modulus; the canonical one has less. The error is relative to M, which the value itself tells: no norms are needed.
//
// Packed inner products (scoring/packed_set.h), with q' and e' for what q and e are rounded to:
// |q e - q' e'| <= |q - q'| |e| + |q'| |e - e'|, and |q'| <= |q| + |q - q'|. The norms of the differences are those
// found when packing, so no worst case of the rounding is assumed, and coarser codes count as what they lose. To this
// come the roundings of both scores: 8 bit products are added exactly (simd/int8.h), and scaled in a few roundings of at
// most (|q| + |q - q'|) (|e| + |e - e'|) <= 4 |q| |e|: numbers are rounded to the nearest code, and 0 is one.
//
// What is not finite or may overflow gets NaN as its bound, with which no comparison is sure: all is settled.
#pragma once

#include <cstdint>

#include "scoring/instruction_set.h"

namespace mmkg {

struct PackedSlopes {
    float norm, lost, constant;
};

class Bounds {
public:
    // score: of mmkg_score; width: numbers in a vector.
    Bounds(int score, int64_t width, float margin, double root_error);

    // At least the Euclidean norm of a vector, from its canonical inner product with itself; infinity if it is large.
    float norm(float square) const;
    // Of a query of this norm.
    float slope(float norm) const;
    // Values below this (less slope * norm of the row) belong to canonical scores below `score`.
    float low(float score) const;
    // Values above this (plus slope * norm of the row) belong to canonical scores above `score`.
    float high(float score) const;

    // Of a query of this norm that lost a vector of norm `lost` when it was packed; see PackedQueries.
    PackedSlopes packed_slopes(float norm, double lost, float unit) const;
    // Values below this (less the error that the slopes give) belong to canonical scores below `score`.
    float packed_low(float score, float unit) const;
    // Values above this (plus that error) belong to canonical scores above `score`.
    float packed_high(float score, float unit) const;
    // At least the root of a square.
    static float norm_above(double square);

private:
    const int score_;
    const double margin_;
    double relative_;  // of |q| |e|, or of the sum of moduli
    double absolute_;  // what underflow may add
};

}  // namespace mmkg
