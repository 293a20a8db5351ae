// What scoring/packed_tiles.h asks of ARM64 whatever a word is: the 16 rows of a group are four vectors. As to the
// namespace see simd/avx2.h.
#pragma once

#include <arm_neon.h>

#include <cstdint>
#include <limits>

#include "scoring/packed_set.h"

namespace mmkg {
namespace {

struct PackedNeon {
    struct Words {
        uint32x4_t part[4];
    };
    struct Float {
        float32x4_t part[4];
    };
    // Sums of a group and 6 queries, the words of a group and those of a query fit 32 registers.
    static constexpr int groups = 1, queries = 6;
    static constexpr float infinity = std::numeric_limits<float>::infinity();

    // Of the four parts, `of` each.
    template <class Vector, class Part>
    [[gnu::always_inline]] static inline Vector each(Part of) {
        return {{of(0), of(1), of(2), of(3)}};
    }

    static Words load(const uint32_t *from) {
        return each<Words>([&](int i) { return vld1q_u32(from + 4 * i); });
    }
    static uint32x4_t broadcast(const uint32_t *from) { return vld1q_dup_u32(from); }
    static Float set(float value) {
        return each<Float>([&](int) { return vdupq_n_f32(value); });
    }
    static Float load_floats(const float *from) {
        return each<Float>([&](int i) { return vld1q_f32(from + 4 * i); });
    }
    static void store(float *to, const Float &value) {
        for (int i = 0; i < 4; ++i) vst1q_f32(to + 4 * i, value.part[i]);
    }
    static Float add(const Float &a, const Float &b) {
        return each<Float>([&](int i) { return vaddq_f32(a.part[i], b.part[i]); });
    }
    static Float sub(const Float &a, const Float &b) {
        return each<Float>([&](int i) { return vsubq_f32(a.part[i], b.part[i]); });
    }
    // Of a NaN and b: b.
    static Float min(const Float &a, const Float &b) {
        return each<Float>([&](int i) { return vbslq_f32(vcltq_f32(a.part[i], b.part[i]), a.part[i], b.part[i]); });
    }
    static Float max(const Float &a, const Float &b) {
        return each<Float>([&](int i) { return vbslq_f32(vcgtq_f32(a.part[i], b.part[i]), a.part[i], b.part[i]); });
    }
    static uint32_t less(const Float &a, const Float &b) {
        static const uint32_t bit[4] = {1, 2, 4, 8};
        const uint32x4_t bits = vld1q_u32(bit);
        uint32x4_t found = vdupq_n_u32(0);
        for (int i = 3; i >= 0; --i) {
            found = vorrq_u32(vshlq_n_u32(found, 4), vandq_u32(bits, vcltq_f32(a.part[i], b.part[i])));
        }
        return vaddvq_u32(found);
    }
    static void put_some(float *to, uint32_t which, const Float &value) {
        float all[kGroupRows];
        store(all, value);
        for (; which; which &= which - 1) *to++ = all[__builtin_ctz(which)];
    }
    static void put_ids(uint32_t *to, uint32_t which, uint32_t first) {
        for (; which; which &= which - 1) *to++ = first + static_cast<uint32_t>(__builtin_ctz(which));
    }
};

}  // namespace
}  // namespace mmkg
