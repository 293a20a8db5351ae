// a * b + c in plain C++: rounded once where the build has an instruction for it, as all code for AVX2 and AVX-512 does
// it, and every build for ARM64. Elsewhere, which is x86-64 without FMA, it is rounded twice: done in software, one
// rounding made the encoders 10 to 17 times slower there.
#pragma once

#include <cfloat>
#include <cmath>

namespace mmkg {

static_assert(FLT_EVAL_METHOD == 0, "every sum and product must be rounded to float32");

inline float multiply_add(float a, float b, float c) {
#if defined(__FP_FAST_FMAF) || defined(__ARM_FEATURE_FMA)
    return std::fma(a, b, c);
#else
    return a * b + c;
#endif
}

}  // namespace mmkg
