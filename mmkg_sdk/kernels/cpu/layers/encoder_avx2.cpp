// Encoders in AVX2 with FMA and F16C. As to the order of headers see scoring/avx2.cpp.
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "layers/encoder_set.h"

#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC target("avx2,fma,f16c")
#endif

#include "layers/make_encoder_set.h"
#include "simd/avx2.h"

namespace mmkg {
namespace {

struct EncoderAvx2 : Avx2 {
    // 12 of 16 registers hold sums.
    static constexpr int panel = 16, tile_rows = 6, value_vectors = 8;

    static Float load_value(const float *from) { return load(from); }
    static Float load_value(const uint16_t *from) {
        const __m128i half = _mm_loadu_si128(reinterpret_cast<const __m128i *>(from));
        return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
    }
    static Float load_value(const Half *from) {
        return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i *>(from)));
    }
    static Float load_first(const float *from, int count) { return _mm256_maskload_ps(from, first(count)); }
    static void store(float *to, Float value) { _mm256_storeu_ps(to, value); }
    static void store_first(float *to, int count, Float value) { _mm256_maskstore_ps(to, first(count), value); }
    static Float keep_first(Float value, int count) { return _mm256_and_ps(value, _mm256_castsi256_ps(first(count))); }
    static Float max(Float a, Float b) { return _mm256_max_ps(a, b); }
    static Float zero_where_less(Float value, Float a, Float b) {
        return _mm256_and_ps(value, _mm256_cmp_ps(a, b, _CMP_NLT_UQ));
    }
    static Float times_power_of_two(Float value, Float shifted) {
        const __m256i power = _mm256_slli_epi32(_mm256_castps_si256(shifted), 23);
        return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(value), power));
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
