// Vectors in 8 bits, four numbers to a word: what VPDPBUSD takes, and a quarter of the memory.
//
// x is rounded to scale * code, with a scale of the vector's own and codes from -127 to 127. The instructions multiply
// unsigned by signed numbers: codes of rows are stored with kRowOffset added, codes of queries as they are, and
// kRowOffset times the sum of a query's codes is taken off every sum.
//
// VPDPBUSD adds four products in 32 bits. Without it VPMADDUBSW adds two of them in 16 bits, and what does not fit is
// cut off. So there codes of queries are from -64 to 64, and 2 * 255 * 64 = 32,640 fits. VPMADDWD with codes of 16 bits
// would round queries less, but takes a third longer (AMD EPYC, 208 against 268 GOP/s of one core).
#pragma once

#include <cmath>
#include <cstdint>

namespace mmkg {

constexpr int kMostCode = 127, kMostPairedCode = 64;
constexpr int kRowOffset = 128;
static_assert(2 * (kMostCode + kRowOffset) * kMostPairedCode <= INT16_MAX, "sums of two products fit 16 bits");
constexpr uint32_t kZeroRowWord = 0x80808080u;  // four codes of 0 in a row
// Sums of products of codes fit 32 bits up to this width.
constexpr int64_t kMaxInt8Width = int64_t{1} << 17;
// Below it a scale is no number to divide by; such vectors are rounded to 0.
constexpr float kLeastScale = 0x1p-100f;

// For codes from -codes to codes; 0 for vectors that are as good as 0. All numbers are finite.
inline float int8_scale(const float *vector, int64_t width, int codes) {
    float most = 0.0f;
    for (int64_t c = 0; c < width; ++c) most = std::fabs(vector[c]) > most ? std::fabs(vector[c]) : most;
    const float scale = most / static_cast<float>(codes);
    return scale < kLeastScale ? 0.0f : scale;
}

struct PackedInt8 {
    double lost;  // square of the Euclidean norm of what rounding took away
    int32_t sum;  // of the codes
};

// Packs a vector, each word `step` places after the one before; `offset` is added to the codes.
inline PackedInt8 pack_int8(const float *vector, int64_t width, float scale, int codes, int offset, uint32_t *words,
                            int64_t step) {
    PackedInt8 found{0.0, 0};
    const float inverse = scale > 0.0f ? 1.0f / scale : 0.0f;
    for (int64_t c = 0; c < width; c += 4) {
        uint32_t word = 0;
        for (int64_t i = c; i < c + 4; ++i) {
            int code = 0;
            if (i < width) {
                code = static_cast<int>(std::lrintf(vector[i] * inverse));
                code = code > codes ? codes : code < -codes ? -codes : code;
                const double error = static_cast<double>(vector[i]) - static_cast<double>(scale) * code;
                found.lost += error * error;
                found.sum += code;
            }
            word |= static_cast<uint32_t>(static_cast<uint8_t>(code + offset)) << (8 * (i - c));
        }
        words[c / 4 * step] = word;
    }
    return found;
}

}  // namespace mmkg
