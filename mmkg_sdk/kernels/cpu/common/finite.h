// Numbers in any precision that are neither NaN nor infinite.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>

#include "common/status.h"
#include "mmkg_tucker.h"

namespace mmkg {

// Place of the first number that is NaN or infinite, or `count`: its exponent is all ones.
template <class Bits, Bits Exponent>
int64_t first_not_finite(const void *numbers, int64_t count) {
    constexpr int64_t block = 4096;
    const char *from = static_cast<const char *>(numbers);
    const auto at = [&](int64_t i) {
        Bits bits;
        std::memcpy(&bits, from + i * sizeof bits, sizeof bits);
        return bits;
    };
    for (int64_t begin = 0; begin < count; begin += block) {
        const int64_t end = std::min(begin + block, count);
        Bits any = 0;
        for (int64_t i = begin; i < end; ++i) any |= static_cast<Bits>((at(i) & Exponent) == Exponent);
        for (int64_t i = begin; any && i < end; ++i) {
            if ((at(i) & Exponent) == Exponent) return i;
        }
    }
    return count;
}

inline int64_t first_not_finite(const void *numbers, int64_t count, int32_t precision) {
    if (precision == MMKG_FP32) return first_not_finite<uint32_t, 0x7F800000u>(numbers, count);
    if (precision == MMKG_BF16) return first_not_finite<uint16_t, 0x7F80u>(numbers, count);
    return first_not_finite<uint16_t, 0x7C00u>(numbers, count);
}

inline void require_finite(const void *numbers, int64_t count, int32_t precision, const char *name) {
    const int64_t place = first_not_finite(numbers, count, precision);
    if (place == count) return;
    throw BadArgument(std::string(name) + " holds NaN or infinity at " + std::to_string(place));
}

}  // namespace mmkg
