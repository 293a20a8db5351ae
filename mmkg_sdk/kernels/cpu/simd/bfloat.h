// Numbers in bfloat16, two to a word: what VDPBF16PS takes, and half the memory.
#pragma once

#include <cstdint>
#include <cstring>

namespace mmkg {

// Rounds to nearest, ties to even; what is too large becomes infinity. NaN stays NaN.
inline uint16_t to_bfloat(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return static_cast<uint16_t>(bits >> 16 | 0x40u);
    return static_cast<uint16_t>((bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16);
}

inline float from_bfloat(uint16_t value) {
    const uint32_t bits = static_cast<uint32_t>(value) << 16;
    float wide;
    std::memcpy(&wide, &bits, sizeof wide);
    return wide;
}

// Packs a vector, each word `step` places after the one before, and gives the square of the Euclidean norm of what
// rounding took away; denormals count as lost, because the instruction reads them as zeros.
inline double pack_bfloat(const float *vector, int64_t width, uint32_t *words, int64_t step) {
    double lost = 0.0;
    for (int64_t c = 0; c < width; c += 2) {
        uint32_t pair = 0;
        for (int64_t i = c; i < c + 2 && i < width; ++i) {
            const uint16_t rounded = to_bfloat(vector[i]);
            const bool denormal = (rounded & 0x7F80u) == 0;
            const double error = static_cast<double>(vector[i]) - (denormal ? 0.0 : from_bfloat(rounded));
            lost += error * error;
            pair |= static_cast<uint32_t>(rounded) << (16 * (i - c));
        }
        words[c / 2 * step] = pair;
    }
    return lost;
}

}  // namespace mmkg
