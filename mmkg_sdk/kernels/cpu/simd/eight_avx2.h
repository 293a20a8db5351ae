// Vectors of eight numbers for the late interaction. As to the namespace see simd/avx2.h.
#pragma once

#include "simd/avx2.h"

namespace mmkg {
namespace {

struct EightAvx2 : Avx2 {
    static constexpr int tile_vectors = 2;
    using Int = __m256i;

    static Int zero_int() { return _mm256_setzero_si256(); }
    static Int load_int(const int32_t *from) { return _mm256_loadu_si256(reinterpret_cast<const __m256i *>(from)); }
    static void store_int(int32_t *to, Int value) { _mm256_storeu_si256(reinterpret_cast<__m256i *>(to), value); }
    static Int broadcast_int(const int32_t *from) { return _mm256_set1_epi32(*from); }
    static Int add_products(Int sum, Int a, Int b) { return _mm256_add_epi32(sum, _mm256_madd_epi16(a, b)); }
    static Float to_float(Int value) { return _mm256_cvtepi32_ps(value); }
    static Float of_eights(const float *low, const float *) { return _mm256_broadcast_ss(low); }

    static void store(float *to, Float value) { _mm256_storeu_ps(to, value); }
    static Float load_stored(const float *from) { return load(from); }
    static Float load_stored(const uint16_t *from) {
        return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i *>(from)));
    }
    static void store_rounded(int16_t *to, Float value) {
        const __m256i whole = _mm256_cvtps_epi32(value);
        _mm_storeu_si128(reinterpret_cast<__m128i *>(to),
                         _mm_packs_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1)));
    }
    static Float div(Float a, Float b) { return _mm256_div_ps(a, b); }
    // Where one is NaN: b.
    static Float max(Float a, Float b) { return _mm256_max_ps(a, b); }
    static Float min(Float a, Float b) { return _mm256_min_ps(a, b); }
    static Float where_less(Float a, Float b, Float yes, Float no) {
        return _mm256_blendv_ps(no, yes, _mm256_cmp_ps(a, b, _CMP_LT_OQ));
    }
    static Float times_power_of_two(Float value, Float shifted) {
        const __m256i power = _mm256_slli_epi32(_mm256_castps_si256(shifted), 23);
        return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(value), power));
    }

    // Lane i: the sum of the lanes of part[i].
    static Float sums(const Float (&part)[8]) {
        const Float low = four_sums(part[0], part[1], part[2], part[3]);
        const Float high = four_sums(part[4], part[5], part[6], part[7]);
        return add(_mm256_permute2f128_ps(low, high, 0x20), _mm256_permute2f128_ps(low, high, 0x31));
    }
    static void transpose(const float *from, ptrdiff_t stride, float *to, ptrdiff_t to_stride) {
        Float pair[8], four[8];
        for (int i = 0; i < 4; ++i) {
            const Float a = load(from + 2 * i * stride), b = load(from + (2 * i + 1) * stride);
            pair[2 * i] = _mm256_unpacklo_ps(a, b);
            pair[2 * i + 1] = _mm256_unpackhi_ps(a, b);
        }
        for (int i = 0; i < 2; ++i) {
            for (int half = 0; half < 2; ++half) {
                const Float a = pair[4 * i + half], b = pair[4 * i + 2 + half];
                four[4 * i + 2 * half] = _mm256_shuffle_ps(a, b, 0x44);
                four[4 * i + 2 * half + 1] = _mm256_shuffle_ps(a, b, 0xEE);
            }
        }
        for (int i = 0; i < 4; ++i) {
            store(to + i * to_stride, _mm256_permute2f128_ps(four[i], four[4 + i], 0x20));
            store(to + (4 + i) * to_stride, _mm256_permute2f128_ps(four[i], four[4 + i], 0x31));
        }
    }

private:
    // Lanes 0 to 3 and 4 to 7: the sums of these lanes of each vector.
    static Float four_sums(Float a, Float b, Float c, Float d) {
        const Float ab = add(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
        const Float cd = add(_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
        return add(_mm256_shuffle_ps(ab, cd, 0x44), _mm256_shuffle_ps(ab, cd, 0xEE));
    }
};

}  // namespace
}  // namespace mmkg
