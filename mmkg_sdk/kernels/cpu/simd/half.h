// Numbers in float16 (IEEE 754 binary16).
#pragma once

#include <cmath>
#include <cstdint>

namespace mmkg {

struct Half {
    uint16_t bits;
};

inline float from_half(Half value) {
    const int exponent = value.bits >> 10 & 0x1F, fraction = value.bits & 0x3FF;
    float size = exponent == 0    ? static_cast<float>(fraction) * 0x1p-24f
                 : exponent == 31 ? (fraction ? NAN : INFINITY)
                                  : std::ldexp(static_cast<float>(fraction + 0x400), exponent - 25);
    return value.bits & 0x8000 ? -size : size;
}

}  // namespace mmkg
