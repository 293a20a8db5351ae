// Vectors in 8 bits, four numbers to a word: what VPDPBUSD takes, and a quarter of the memory.
//
// x is rounded to scale * code, with codes from -127 to 127 and a scale of the vector's own. The instruction multiplies
// unsigned by signed numbers: codes of rows are stored with kRowOffset added, codes of queries as they are, and
// kRowOffset times the sum of a query's codes is taken off every sum.
#pragma once

#include <cmath>
#include <cstdint>

namespace mmkg {

constexpr int kRowOffset = 128;
constexpr uint32_t kZeroRowWord = 0x80808080u;  // four codes of 0 in a row
// Sums of products of codes fit 32 bits up to this width.
constexpr int64_t kMaxInt8Width = int64_t{1} << 17;
// Below it a scale is no number to divide by; such vectors are rounded to 0.
constexpr float kLeastScale = 0x1p-100f;

// 0 for vectors that are as good as 0. All numbers are finite.
inline float int8_scale(const float *vector, int64_t width) {
    float most = 0.0f;
    for (int64_t c = 0; c < width; ++c) most = std::fabs(vector[c]) > most ? std::fabs(vector[c]) : most;
    const float scale = most / 127.0f;
    return scale < kLeastScale ? 0.0f : scale;
}

struct PackedInt8 {
    double lost;  // square of the Euclidean norm of what rounding took away
    int32_t sum;  // of the codes
};

// Packs a vector, each word `step` places after the one before; `offset` is added to the codes.
inline PackedInt8 pack_int8(const float *vector, int64_t width, float scale, int offset, uint32_t *words,
                            int64_t step) {
    PackedInt8 found{0.0, 0};
    const float inverse = scale > 0.0f ? 1.0f / scale : 0.0f;
    for (int64_t c = 0; c < width; c += 4) {
        uint32_t word = 0;
        for (int64_t i = c; i < c + 4; ++i) {
            int code = 0;
            if (i < width) {
                code = static_cast<int>(std::lrintf(vector[i] * inverse));
                code = code > 127 ? 127 : code < -127 ? -127 : code;
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
