// What scoring/packed_tiles.h asks of AVX-512 whatever a word is. As to the namespace see simd/avx2.h.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <limits>

namespace mmkg {
namespace {

struct PackedAvx512 {
    using Words = __m512i;
    using Float = __m512;
    // Sums of 12 queries and two groups fit 32 registers.
    static constexpr int groups = 2, queries = 12;
    static constexpr float infinity = std::numeric_limits<float>::infinity();

    static Words load(const uint32_t *from) { return _mm512_loadu_si512(from); }
    static Words broadcast(const uint32_t *from) { return _mm512_set1_epi32(static_cast<int>(*from)); }
    static Float set(float value) { return _mm512_set1_ps(value); }
    static Float load_floats(const float *from) { return _mm512_loadu_ps(from); }
    static void store(float *to, Float value) { _mm512_storeu_ps(to, value); }
    static Float add(Float a, Float b) { return _mm512_add_ps(a, b); }
    static Float sub(Float a, Float b) { return _mm512_sub_ps(a, b); }
    // Of a NaN and b: b.
    static Float min(Float a, Float b) { return _mm512_min_ps(a, b); }
    static Float max(Float a, Float b) { return _mm512_max_ps(a, b); }
    static uint32_t less(Float a, Float b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
    // Writes a whole vector: compressing stores are slow (AMD Zen 4).
    static void put_some(float *to, uint32_t which, Float value) {
        _mm512_storeu_ps(to, _mm512_maskz_compress_ps(static_cast<__mmask16>(which), value));
    }
    static void put_ids(uint32_t *to, uint32_t which, uint32_t first) {
        const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        const __m512i ids = _mm512_add_epi32(lane, _mm512_set1_epi32(static_cast<int>(first)));
        _mm512_storeu_si512(to, _mm512_maskz_compress_epi32(static_cast<__mmask16>(which), ids));
    }
};

// Words of four codes, whose sums are exact whatever adds them up.
struct CodesAvx512 : PackedAvx512 {
    using Sum = __m512i;
    static Sum zero() { return _mm512_setzero_si512(); }
    static Sum start(int32_t value) { return _mm512_set1_epi32(value); }
    static Sum add_sums(Sum a, Sum b) { return _mm512_add_epi32(a, b); }
    static Float scales(const float *from) { return _mm512_loadu_ps(from); }
    static Float value(Sum sum, Float scale) { return _mm512_mul_ps(_mm512_cvtepi32_ps(sum), scale); }
};

}  // namespace
}  // namespace mmkg
