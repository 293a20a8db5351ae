// Encoders in AVX-512 (F, BW, DQ, VL). As to the order of headers see scoring/avx2.cpp.
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "layers/encoder_set.h"

#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl"))), \
                             apply_to = function)
#else
#pragma GCC target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")
#endif

#include "layers/make_encoder_set.h"
#include "simd/avx512.h"

namespace mmkg {
namespace {

struct EncoderAvx512 : Avx512 {
    // 24 of 32 registers hold sums.
    static constexpr int panel = 32, tile_rows = 12, value_vectors = 4;

    static Float load_value(const float *from) { return load(from); }
    static Float load_value(const uint16_t *from) {
        const __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(from));
        return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
    }
    static Float load_value(const Half *from) {
        return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i *>(from)));
    }
    static Float load_first(const float *from, int count) { return _mm512_maskz_loadu_ps(first(count), from); }
    static void store(float *to, Float value) { _mm512_storeu_ps(to, value); }
    static void store_first(float *to, int count, Float value) { _mm512_mask_storeu_ps(to, first(count), value); }
    static Float keep_first(Float value, int count) { return _mm512_maskz_mov_ps(first(count), value); }
    static Float max(Float a, Float b) { return _mm512_max_ps(a, b); }
    static Float zero_where_less(Float value, Float a, Float b) {
        return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(a, b, _CMP_NLT_UQ), value);
    }
    static Float times_power_of_two(Float value, Float shifted) {
        const __m512i power = _mm512_slli_epi32(_mm512_castps_si512(shifted), 23);
        return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(value), power));
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
