// Encoders in AVX2 with FMA. As to the order of headers see avx2.cpp.
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "encoder_set.h"

#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif

#include "make_encoder_set.h"

namespace mmkg {
namespace {

struct EncoderAvx2 {
    static constexpr int width = 8;
    // 12 of 16 registers hold sums.
    static constexpr int panel = 16, tile_rows = 6, value_vectors = 8;
    using Float = __m256;

    static Float zero() { return _mm256_setzero_ps(); }
    static Float set(float value) { return _mm256_set1_ps(value); }
    static Float broadcast(const float *from) { return _mm256_broadcast_ss(from); }
    static Float load(const float *from) { return _mm256_loadu_ps(from); }
    static Float load_value(const float *from) { return _mm256_loadu_ps(from); }
    static Float load_value(const uint16_t *from) {
        const __m128i half = _mm_loadu_si128(reinterpret_cast<const __m128i *>(from));
        return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
    }
    static Float load_some(const float *from, int count) { return _mm256_maskload_ps(from, first(count)); }
    static void store(float *to, Float value) { _mm256_storeu_ps(to, value); }
    static void store_some(float *to, int count, Float value) { _mm256_maskstore_ps(to, first(count), value); }
    static Float keep(Float value, int count) { return _mm256_and_ps(value, _mm256_castsi256_ps(first(count))); }
    static Float add(Float a, Float b) { return _mm256_add_ps(a, b); }
    static Float sub(Float a, Float b) { return _mm256_sub_ps(a, b); }
    static Float mul(Float a, Float b) { return _mm256_mul_ps(a, b); }
    static Float fma(Float a, Float b, Float c) { return _mm256_fmadd_ps(a, b, c); }
    static Float max(Float a, Float b) { return _mm256_max_ps(a, b); }
    static Float zero_where_less(Float value, Float a, Float b) {
        return _mm256_and_ps(value, _mm256_cmp_ps(a, b, _CMP_NLT_UQ));
    }
    static Float times_power_of_two(Float value, Float shifted) {
        const __m256i power = _mm256_slli_epi32(_mm256_castps_si256(shifted), 23);
        return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(value), power));
    }
    static float tree(const Float (&part)[2]) {
        const __m256 eight = _mm256_add_ps(part[0], part[1]);
        const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
        const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
        return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
    }

private:
    static __m256i first(int count) {
        return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    }
};

const EncoderSet &table() {
    static const EncoderSet set = make_encoder_set<EncoderAvx2>(1);
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
const EncoderSet *avx2_encoder_set() { return &table(); }
}  // namespace mmkg

#else

namespace mmkg {
const EncoderSet *avx2_encoder_set() { return nullptr; }
}  // namespace mmkg

#endif
