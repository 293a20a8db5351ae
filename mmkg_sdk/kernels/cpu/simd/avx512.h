// Vectors of 512 bits. As to the namespace see simd/avx2.h.
#pragma once

#include "simd/avx2.h"

namespace mmkg {
namespace {

struct Avx512 {
    static constexpr int width = 16;
    static constexpr uint32_t all = 0xFFFF;
    static constexpr int exact_queries = 4;
    static constexpr int product_rows = 12, distance_rows = 4;
    static constexpr int64_t small_product_batch = 4, small_distance_batch = 1;
    static constexpr double root_error = 0x1p-14;  // of VRSQRT14PS (Intel SDM volume 2)

    using Float = __m512;
    using Mask = __mmask16;
    using Counts = __m512i;

    static Float zero() { return _mm512_setzero_ps(); }
    static Float set(float value) { return _mm512_set1_ps(value); }
    static Float load(const float *from) { return _mm512_loadu_ps(from); }
    static Float broadcast(const float *from) { return _mm512_set1_ps(*from); }
    template <bool Whole>
    static Float load_some(const float *from, int count) {
        if constexpr (Whole) return _mm512_loadu_ps(from);
        return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << count) - 1), from);
    }
    static Float add(Float a, Float b) { return _mm512_add_ps(a, b); }
    static Float sub(Float a, Float b) { return _mm512_sub_ps(a, b); }
    static Float mul(Float a, Float b) { return _mm512_mul_ps(a, b); }
    static Float fma(Float a, Float b, Float c) { return _mm512_fmadd_ps(a, b, c); }
    static Float roughly_fma(Float a, Float b, Float c) { return fma(a, b, c); }
    static Float sqrt(Float a) { return _mm512_sqrt_ps(a); }
    static Float minus_root(Float a, Float square) { return _mm512_fnmadd_ps(square, _mm512_rsqrt14_ps(square), a); }
    static float tree(const Float (&part)[1]) {
        const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(part[0]), _mm512_extractf32x8_ps(part[0], 1));
        const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
        const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
        return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
    }
    static Mask less(Float a, Float b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
    static uint32_t bits(Mask mask) { return mask; }
    static Counts load_counts(const int32_t *from) { return _mm512_loadu_si512(from); }
    static void store_counts(int32_t *to, Counts counts) { _mm512_storeu_si512(to, counts); }
    static Counts add_one(Counts counts, Mask where) {
        return _mm512_mask_add_epi32(counts, where, counts, _mm512_set1_epi32(1));
    }
};

// Of the smallest panels: half a vector wide, with the better root of AVX512-VL.
struct Narrow : Avx2 {
    static constexpr double root_error = Avx512::root_error;
    static Float minus_root(Float a, Float square) { return _mm256_fnmadd_ps(square, _mm256_rsqrt14_ps(square), a); }
};

}  // namespace
}  // namespace mmkg
