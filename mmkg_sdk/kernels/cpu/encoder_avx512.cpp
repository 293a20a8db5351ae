// Encoders in AVX-512 (F, BW, DQ, VL). As to the order of headers see avx2.cpp.
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "encoder_set.h"

#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl"))), \
                             apply_to = function)
#else
#pragma GCC target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")
#endif

#include "make_encoder_set.h"

namespace mmkg {
namespace {

struct EncoderAvx512 {
    static constexpr int width = 16;
    // 24 of 32 registers hold sums.
    static constexpr int panel = 32, tile_rows = 12, value_vectors = 8;
    using Float = __m512;

    static Float zero() { return _mm512_setzero_ps(); }
    static Float set(float value) { return _mm512_set1_ps(value); }
    static Float broadcast(const float *from) { return _mm512_set1_ps(*from); }
    static Float load(const float *from) { return _mm512_loadu_ps(from); }
    static Float load_value(const float *from) { return _mm512_loadu_ps(from); }
    static Float load_value(const uint16_t *from) {
        const __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(from));
        return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
    }
    static Float load_some(const float *from, int count) { return _mm512_maskz_loadu_ps(first(count), from); }
    static void store(float *to, Float value) { _mm512_storeu_ps(to, value); }
    static void store_some(float *to, int count, Float value) { _mm512_mask_storeu_ps(to, first(count), value); }
    static Float keep(Float value, int count) { return _mm512_maskz_mov_ps(first(count), value); }
    static Float add(Float a, Float b) { return _mm512_add_ps(a, b); }
    static Float sub(Float a, Float b) { return _mm512_sub_ps(a, b); }
    static Float mul(Float a, Float b) { return _mm512_mul_ps(a, b); }
    static Float fma(Float a, Float b, Float c) { return _mm512_fmadd_ps(a, b, c); }
    static Float max(Float a, Float b) { return _mm512_max_ps(a, b); }
    static Float zero_where_less(Float value, Float a, Float b) {
        return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(a, b, _CMP_NLT_UQ), value);
    }
    static Float times_power_of_two(Float value, Float shifted) {
        const __m512i power = _mm512_slli_epi32(_mm512_castps_si512(shifted), 23);
        return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(value), power));
    }
    static float tree(const Float (&part)[1]) {
        const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(part[0]), _mm512_extractf32x8_ps(part[0], 1));
        const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
        const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
        return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
    }

private:
    static __mmask16 first(int count) { return static_cast<__mmask16>((1u << count) - 1); }
};

const EncoderSet &table() {
    static const EncoderSet set = make_encoder_set<EncoderAvx512>(2);
    return set;
}

}  // namespace
}  // namespace mmkg

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC reset_options
#endif

namespace mmkg {
const EncoderSet *avx512_encoder_set() { return &table(); }
}  // namespace mmkg

#else

namespace mmkg {
const EncoderSet *avx512_encoder_set() { return nullptr; }
}  // namespace mmkg

#endif
