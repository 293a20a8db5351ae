// The late interaction in AVX-512 (F, BW, DQ, VL, VNNI). As to the order of headers see scoring/avx2.cpp.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "link/interaction_set.h"

#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni"))), \
                             apply_to = function)
#else
#pragma GCC target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")
#endif

#include "link/make_interaction_set.h"
#include "simd/avx512.h"
#include "simd/eight_avx2.h"

namespace mmkg {
namespace {

struct WideAvx512 : Avx512 {
    // Two entities of 40 positions; 25 of 32 registers hold sums.
    static constexpr int tile_vectors = 5;
    using Int = __m512i;

    static Int zero_int() { return _mm512_setzero_si512(); }
    static Int load_int(const int32_t *from) { return _mm512_loadu_si512(from); }
    static void store_int(int32_t *to, Int value) { _mm512_storeu_si512(to, value); }
    static Int broadcast_int(const int32_t *from) { return _mm512_set1_epi32(*from); }
    static Int add_products(Int sum, Int a, Int b) { return _mm512_dpwssd_epi32(sum, a, b); }
    static Float to_float(Int value) { return _mm512_cvtepi32_ps(value); }
    static Float of_eights(const float *low, const float *high) {
        return _mm512_mask_broadcastss_ps(_mm512_set1_ps(*low), 0xFF00, _mm_load_ss(high));
    }
    static void store(float *to, Float value) { _mm512_storeu_ps(to, value); }
    static Float div(Float a, Float b) { return _mm512_div_ps(a, b); }
    static Float max(Float a, Float b) { return _mm512_max_ps(a, b); }
    static Float times_power_of_two(Float value, Float shifted) {
        const __m512i power = _mm512_slli_epi32(_mm512_castps_si512(shifted), 23);
        return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(value), power));
    }
};

const InteractionSet &table() {
    static const InteractionSet set = make_interaction_set<WideAvx512, EightAvx2>(3);
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
const InteractionSet *avx512_interaction_set() { return &table(); }
}  // namespace mmkg

#else

namespace mmkg {
const InteractionSet *avx512_interaction_set() { return nullptr; }
}  // namespace mmkg

#endif
