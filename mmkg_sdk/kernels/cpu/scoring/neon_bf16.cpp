// ARM64 with FEAT_BF16: products of bfloat16. As to the order of headers see scoring/avx2.cpp.
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>

#include "mmkg.h"
#include "scoring/arm_features.h"
#include "scoring/instruction_set.h"

#if defined(__aarch64__)

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("bf16"))), apply_to = function)
#else
#pragma GCC target("arch=armv8.2-a+bf16")
#endif

#include "scoring/packed_tiles.h"
#include "simd/packed_neon.h"

namespace mmkg {
namespace {

// A word holds two numbers, whose products are added to each other and then to the lane, denormals as zeros. Both sums
// are rounded to odd: two errors of 2 u for two numbers, where bounds allow for four of u (table/bounds.h).
struct Pairs : PackedNeon {
    using Sum = Float;
    static Sum zero() { return set(0.0f); }
    static Sum start(int32_t) { return zero(); }
    [[gnu::always_inline]] static inline void add_products(Sum &sum, const Words &row, uint32x4_t query) {
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i) {
            sum.part[i] = vbfdotq_f32(sum.part[i], vreinterpretq_bf16_u32(row.part[i]), vreinterpretq_bf16_u32(query));
        }
    }
    static Sum add_sums(const Sum &a, const Sum &b) { return add(a, b); }
    static Float scales(const float *) { return zero(); }
    static Float value(const Sum &sum, const Float &) { return sum; }
};

}  // namespace
}  // namespace mmkg

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC reset_options
#endif

namespace mmkg {
const InstructionSet *neon_bf16_set() {
    if (!has_bfloat_products() || !neon_dot_set()) return nullptr;
    static const InstructionSet set = [] {
        InstructionSet extended = *neon_dot_set();
        extended.id = MMKG_NEON_BF16;
        extended.name = "neon_bf16";
        extended.packed[MMKG_BFLOAT16] = packed_pass<Pairs>(0, 1.0);
        return extended;
    }();
    return &set;
}
}  // namespace mmkg

#else

namespace mmkg {
const InstructionSet *neon_bf16_set() { return nullptr; }
}  // namespace mmkg

#endif
