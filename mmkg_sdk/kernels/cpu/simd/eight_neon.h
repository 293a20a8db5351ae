// Vectors of eight numbers for the late interaction. As to the namespace see simd/avx2.h.
#pragma once

#include "simd/neon.h"

namespace mmkg {
namespace {

struct EightNeon : Neon {
    static constexpr int tile_vectors = 2;
    struct Int {
        int32x4_t low, high;
    };

    static Int zero_int() { return {vdupq_n_s32(0), vdupq_n_s32(0)}; }
    static Int load_int(const int32_t *from) { return {vld1q_s32(from), vld1q_s32(from + 4)}; }
    static void store_int(int32_t *to, Int value) { vst1q_s32(to, value.low), vst1q_s32(to + 4, value.high); }
    static Int broadcast_int(const int32_t *from) { return {vdupq_n_s32(*from), vdupq_n_s32(*from)}; }
    static Int add_products(Int sum, Int a, Int b) {
        return {vaddq_s32(sum.low, pair_products(a.low, b.low)), vaddq_s32(sum.high, pair_products(a.high, b.high))};
    }
    static Float to_float(Int value) { return {vcvtq_f32_s32(value.low), vcvtq_f32_s32(value.high)}; }
    static Float of_eights(const float *low, const float *) { return broadcast(low); }

    static Float load_stored(const float *from) { return load(from); }
    static Float load_stored(const uint16_t *from) {
        const float16x8_t half = vreinterpretq_f16_u16(vld1q_u16(from));
        return {vcvt_f32_f16(vget_low_f16(half)), vcvt_high_f32_f16(half)};
    }
    static void store_rounded(int16_t *to, Float value) {
        vst1q_s16(to, vqmovn_high_s32(vqmovn_s32(vcvtnq_s32_f32(value.low)), vcvtnq_s32_f32(value.high)));
    }
    static Float where_less(Float a, Float b, Float yes, Float no) { return where(less(a, b), yes, no); }

    // Lane i: the sum of the lanes of part[i].
    static Float sums(const Float (&part)[8]) {
        return {four_sums(part[0], part[1], part[2], part[3]), four_sums(part[4], part[5], part[6], part[7])};
    }
    static void transpose(const float *from, ptrdiff_t stride, float *to, ptrdiff_t to_stride) {
        for (int row = 0; row < 8; row += 4) {
            for (int column = 0; column < 8; column += 4) {
                transpose_four(from + row * stride + column, stride, to + column * to_stride + row, to_stride);
            }
        }
    }

private:
    static int32x4_t pair_products(int32x4_t a, int32x4_t b) {
        const int16x8_t left = vreinterpretq_s16_s32(a), right = vreinterpretq_s16_s32(b);
        return vpaddq_s32(vmull_s16(vget_low_s16(left), vget_low_s16(right)), vmull_high_s16(left, right));
    }
    static float32x4_t four_sums(Float a, Float b, Float c, Float d) {
        return vaddq_f32(half_sums(a.low, b.low, c.low, d.low), half_sums(a.high, b.high, c.high, d.high));
    }
    static float32x4_t half_sums(float32x4_t a, float32x4_t b, float32x4_t c, float32x4_t d) {
        return vcombine_f32(vpadd_f32(two_sums(a), two_sums(b)), vpadd_f32(two_sums(c), two_sums(d)));
    }
    static float32x2_t two_sums(float32x4_t a) { return vadd_f32(vget_low_f32(a), vget_high_f32(a)); }
    static void transpose_four(const float *from, ptrdiff_t stride, float *to, ptrdiff_t to_stride) {
        const float32x4x2_t upper = vtrnq_f32(vld1q_f32(from), vld1q_f32(from + stride));
        const float32x4x2_t lower = vtrnq_f32(vld1q_f32(from + 2 * stride), vld1q_f32(from + 3 * stride));
        for (int i = 0; i < 2; ++i) {
            vst1q_f32(to + i * to_stride, vcombine_f32(vget_low_f32(upper.val[i]), vget_low_f32(lower.val[i])));
            vst1q_f32(to + (i + 2) * to_stride, vcombine_f32(vget_high_f32(upper.val[i]), vget_high_f32(lower.val[i])));
        }
    }
};

}  // namespace
}  // namespace mmkg
