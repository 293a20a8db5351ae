// ARM64 with FEAT_DotProd: sums of products of 8 bits. As to the order of headers see scoring/avx2.cpp.
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>

#include "mmkg.h"
#include "scoring/arm_features.h"
#include "scoring/instruction_set.h"
#include "simd/int8.h"

#if defined(__aarch64__)

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("dotprod"))), apply_to = function)
#else
#pragma GCC target("arch=armv8.2-a+dotprod")
#endif

#include "scoring/packed_tiles.h"
#include "simd/packed_neon.h"

namespace mmkg {
namespace {

// A word holds four codes; sums are exact. The instruction multiplies signed numbers: kRowOffset is taken off the rows
// here, and not off the sums.
struct Quads : PackedNeon {
    struct Sum {
        int32x4_t part[4];
    };
    static Sum zero() {
        return each<Sum>([](int) { return vdupq_n_s32(0); });
    }
    static Sum start(int32_t) { return zero(); }
    static Words load(const uint32_t *from) {
        return each<Words>([&](int i) { return veorq_u32(vld1q_u32(from + 4 * i), vdupq_n_u32(kZeroRowWord)); });
    }
    [[gnu::always_inline]] static inline void add_products(Sum &sum, const Words &row, uint32x4_t query) {
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i) {
            sum.part[i] = vdotq_s32(sum.part[i], vreinterpretq_s8_u32(row.part[i]), vreinterpretq_s8_u32(query));
        }
    }
    static Sum add_sums(const Sum &a, const Sum &b) {
        return each<Sum>([&](int i) { return vaddq_s32(a.part[i], b.part[i]); });
    }
    static Float scales(const float *from) { return load_floats(from); }
    static Float value(const Sum &sum, const Float &scale) {
        return each<Float>([&](int i) { return vmulq_f32(vcvtq_f32_s32(sum.part[i]), scale.part[i]); });
    }
};

}  // namespace
}  // namespace mmkg

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC reset_options
#endif

namespace mmkg {
const InstructionSet *neon_dot_set() {
    if (!has_dot_products()) return nullptr;
    static const InstructionSet set = [] {
        InstructionSet extended = *neon_set();
        extended.id = MMKG_NEON_DOT;
        extended.name = "neon_dot";
        extended.packed[MMKG_INT8] = packed_pass<Quads>(kMostCode, 1.0);
        return extended;
    }();
    return &set;
}
}  // namespace mmkg

#else

namespace mmkg {
const InstructionSet *neon_dot_set() { return nullptr; }
}  // namespace mmkg

#endif
