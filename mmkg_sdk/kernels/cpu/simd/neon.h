// Vectors of 256 bits on ARM64, two registers each: as wide as those of AVX2, so that tiles are of the same shapes.
// Every ARM64 processor has these instructions. As to the namespace see simd/avx2.h.
#pragma once

#include <arm_neon.h>

#include <cstdint>

namespace mmkg {
namespace {

struct Neon {
    static constexpr int width = 8;
    static constexpr uint32_t all = 0xFF;
    static constexpr int exact_queries = 4;
    static constexpr int product_rows = 6, distance_rows = 4;
    static constexpr int64_t small_product_batch = 4, small_distance_batch = 1;
    // Of minus_root, found by trying all numbers (tests/kernels/arm/root_error.cpp: 1.7e-5): the architecture defines the
    // estimate to the bit.
    static constexpr double root_error = 0x1p-15;

    struct Float {
        float32x4_t low, high;
    };
    struct Mask {
        uint32x4_t low, high;
    };
    struct Counts {
        int32x4_t low, high;
    };

    static Float zero() { return set(0.0f); }
    static Float set(float value) { return {vdupq_n_f32(value), vdupq_n_f32(value)}; }
    static Float load(const float *from) { return {vld1q_f32(from), vld1q_f32(from + 4)}; }
    static Float broadcast(const float *from) {
        const float32x4_t one = vld1q_dup_f32(from);
        return {one, one};
    }
    template <bool Whole>
    static Float load_some(const float *from, int count) {
        if constexpr (Whole) return load(from);
        float some[width] = {};
        for (int i = 0; i < width && i < count; ++i) some[i] = from[i];
        return load(some);
    }
    static void store(float *to, Float value) { vst1q_f32(to, value.low), vst1q_f32(to + 4, value.high); }
    static Float add(Float a, Float b) { return {vaddq_f32(a.low, b.low), vaddq_f32(a.high, b.high)}; }
    static Float sub(Float a, Float b) { return {vsubq_f32(a.low, b.low), vsubq_f32(a.high, b.high)}; }
    static Float mul(Float a, Float b) { return {vmulq_f32(a.low, b.low), vmulq_f32(a.high, b.high)}; }
    static Float div(Float a, Float b) { return {vdivq_f32(a.low, b.low), vdivq_f32(a.high, b.high)}; }
    static Float fma(Float a, Float b, Float c) {
        return {vfmaq_f32(c.low, a.low, b.low), vfmaq_f32(c.high, a.high, b.high)};
    }
    static Float roughly_fma(Float a, Float b, Float c) { return fma(a, b, c); }
    static Float sqrt(Float a) { return {vsqrtq_f32(a.low), vsqrtq_f32(a.high)}; }
    static Float minus_root(Float a, Float square) {
        return {vfmsq_f32(a.low, square.low, inverse_root(square.low)),
                vfmsq_f32(a.high, square.high, inverse_root(square.high))};
    }
    // Where one is NaN: b.
    static Float max(Float a, Float b) { return where(less(b, a), a, b); }
    static Float min(Float a, Float b) { return where(less(a, b), a, b); }
    static Float where(Mask mask, Float yes, Float no) {
        return {vbslq_f32(mask.low, yes.low, no.low), vbslq_f32(mask.high, yes.high, no.high)};
    }
    static Float times_power_of_two(Float value, Float shifted) {
        return {scaled(value.low, shifted.low), scaled(value.high, shifted.high)};
    }
    static float tree(const Float (&part)[2]) {
        const Float eight = add(part[0], part[1]);
        const float32x4_t four = vaddq_f32(eight.low, eight.high);
        return vpadds_f32(vadd_f32(vget_low_f32(four), vget_high_f32(four)));
    }
    static Mask less(Float a, Float b) { return {vcltq_f32(a.low, b.low), vcltq_f32(a.high, b.high)}; }
    static uint32_t bits(Mask mask) {
        static const uint32_t bit[8] = {1, 2, 4, 8, 16, 32, 64, 128};
        return vaddvq_u32(vorrq_u32(vandq_u32(mask.low, vld1q_u32(bit)), vandq_u32(mask.high, vld1q_u32(bit + 4))));
    }
    static Counts load_counts(const int32_t *from) { return {vld1q_s32(from), vld1q_s32(from + 4)}; }
    static void store_counts(int32_t *to, Counts counts) { vst1q_s32(to, counts.low), vst1q_s32(to + 4, counts.high); }
    static Counts add_one(Counts counts, Mask where) {
        return {vsubq_s32(counts.low, vreinterpretq_s32_u32(where.low)),
                vsubq_s32(counts.high, vreinterpretq_s32_u32(where.high))};
    }

private:
    // The estimate, and one step of Newton's.
    static float32x4_t inverse_root(float32x4_t square) {
        const float32x4_t near = vrsqrteq_f32(square);
        return vmulq_f32(near, vrsqrtsq_f32(vmulq_f32(square, near), near));
    }
    static float32x4_t scaled(float32x4_t value, float32x4_t shifted) {
        const uint32x4_t power = vshlq_n_u32(vreinterpretq_u32_f32(shifted), 23);
        return vreinterpretq_f32_u32(vaddq_u32(vreinterpretq_u32_f32(value), power));
    }
};

}  // namespace
}  // namespace mmkg
