// Vectors of 256 bits. In an unnamed namespace: each file that includes it compiles it for its own instruction set.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace mmkg {
namespace {

struct Avx2 {
    static constexpr int width = 8;
    static constexpr uint32_t all = 0xFF;
    static constexpr int exact_queries = 4;
    static constexpr int product_rows = 6, distance_rows = 4;
    static constexpr int64_t small_product_batch = 4, small_distance_batch = 1;
    static constexpr double root_error = 1.5 * 0x1p-12;  // of RSQRTPS (Intel SDM volume 2; AMD APM volume 4)

    using Float = __m256;
    using Mask = __m256;
    using Counts = __m256i;

    static Float zero() { return _mm256_setzero_ps(); }
    static Float set(float value) { return _mm256_set1_ps(value); }
    static Float load(const float *from) { return _mm256_loadu_ps(from); }
    static Float broadcast(const float *from) { return _mm256_broadcast_ss(from); }
    template <bool Whole>
    static Float load_some(const float *from, int count) {
        if constexpr (Whole) return _mm256_loadu_ps(from);
        const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        return _mm256_maskload_ps(from, _mm256_cmpgt_epi32(_mm256_set1_epi32(count), lane));
    }
    static Float add(Float a, Float b) { return _mm256_add_ps(a, b); }
    static Float sub(Float a, Float b) { return _mm256_sub_ps(a, b); }
    static Float mul(Float a, Float b) { return _mm256_mul_ps(a, b); }
    static Float fma(Float a, Float b, Float c) { return _mm256_fmadd_ps(a, b, c); }
    static Float roughly_fma(Float a, Float b, Float c) { return fma(a, b, c); }
    static Float sqrt(Float a) { return _mm256_sqrt_ps(a); }
    static Float minus_root(Float a, Float square) { return _mm256_fnmadd_ps(square, _mm256_rsqrt_ps(square), a); }
    static float tree(const Float (&part)[2]) {
        const __m256 eight = _mm256_add_ps(part[0], part[1]);
        const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
        const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
        return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
    }
    static Mask less(Float a, Float b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
    static uint32_t bits(Mask mask) { return static_cast<uint32_t>(_mm256_movemask_ps(mask)); }
    static Counts load_counts(const int32_t *from) {
        return _mm256_loadu_si256(reinterpret_cast<const __m256i *>(from));
    }
    static void store_counts(int32_t *to, Counts counts) {
        _mm256_storeu_si256(reinterpret_cast<__m256i *>(to), counts);
    }
    static Counts add_one(Counts counts, Mask where) { return _mm256_sub_epi32(counts, _mm256_castps_si256(where)); }
};

}  // namespace
}  // namespace mmkg
