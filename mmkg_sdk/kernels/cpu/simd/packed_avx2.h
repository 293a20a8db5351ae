// What scoring/packed_tiles.h asks of AVX2 whatever a word is: the 16 rows of a group are two vectors. As to the
// namespace see simd/avx2.h.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <limits>

#include "scoring/packed_set.h"

namespace mmkg {
namespace {

// The places of the bits that are set in a byte, ascending, a byte each.
struct SetLanes {
    uint64_t of[256];
    constexpr SetLanes() : of() {
        for (uint32_t which = 0; which < 256; ++which) {
            for (int lane = 7; lane >= 0; --lane) {
                if (which >> lane & 1) of[which] = of[which] << 8 | static_cast<uint64_t>(lane);
            }
        }
    }
};
constexpr SetLanes kSetLanes{};

struct PackedAvx2 {
    struct Words {
        __m256i low, high;
    };
    struct Float {
        __m256 low, high;
    };
    // Sums of a group and 6 queries, the words of a group and those of a query fit 16 registers.
    static constexpr int groups = 1, queries = 6;
    static constexpr float infinity = std::numeric_limits<float>::infinity();

    static Words load(const uint32_t *from) { return {load_half(from), load_half(from + kGroupRows / 2)}; }
    // In its place among the products, which are volatile, too: queries are loaded one after the other.
    [[gnu::always_inline]] static inline __m256i broadcast(const uint32_t *from) {
        __m256i word;
        asm volatile("vpbroadcastd %1, %0" : "=x"(word) : "m"(*from));
        return word;
    }
    static Float set(float value) { return {_mm256_set1_ps(value), _mm256_set1_ps(value)}; }
    static Float load_floats(const float *from) {
        return {_mm256_loadu_ps(from), _mm256_loadu_ps(from + kGroupRows / 2)};
    }
    static void store(float *to, Float value) {
        _mm256_storeu_ps(to, value.low);
        _mm256_storeu_ps(to + kGroupRows / 2, value.high);
    }
    static Float add(Float a, Float b) { return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)}; }
    static Float sub(Float a, Float b) { return {_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)}; }
    static Float mul(Float a, Float b) { return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)}; }
    // Of a NaN and b: b.
    static Float min(Float a, Float b) { return {_mm256_min_ps(a.low, b.low), _mm256_min_ps(a.high, b.high)}; }
    static Float max(Float a, Float b) { return {_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)}; }
    static uint32_t less(Float a, Float b) {
        const int low = _mm256_movemask_ps(_mm256_cmp_ps(a.low, b.low, _CMP_LT_OQ));
        const int high = _mm256_movemask_ps(_mm256_cmp_ps(a.high, b.high, _CMP_LT_OQ));
        return static_cast<uint32_t>(low | high << 8);
    }
    // Writes two whole vectors, the second after what is wanted of the first.
    static void put_some(float *to, uint32_t which, Float value) {
        const uint32_t low = which & 0xFF, high = which >> 8;
        _mm256_storeu_ps(to, _mm256_permutevar8x32_ps(value.low, places_of(low)));
        _mm256_storeu_ps(to + __builtin_popcount(low), _mm256_permutevar8x32_ps(value.high, places_of(high)));
    }
    static void put_ids(uint32_t *to, uint32_t which, uint32_t first) {
        const uint32_t low = which & 0xFF, high = which >> 8;
        const __m256i id = _mm256_set1_epi32(static_cast<int>(first)), next = _mm256_set1_epi32(kGroupRows / 2);
        store_ids(to, _mm256_add_epi32(places_of(low), id));
        store_ids(to + __builtin_popcount(low), _mm256_add_epi32(places_of(high), _mm256_add_epi32(id, next)));
    }

private:
    static __m256i places_of(uint32_t which) {
        return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i *>(kSetLanes.of + which)));
    }
    static void store_ids(uint32_t *to, __m256i ids) { _mm256_storeu_si256(reinterpret_cast<__m256i *>(to), ids); }
    static __m256i load_half(const uint32_t *from) {
        return _mm256_loadu_si256(reinterpret_cast<const __m256i *>(from));
    }
};

// Words of four codes, whose sums are exact whatever adds them up.
struct CodesAvx2 : PackedAvx2 {
    using Sum = Words;
    static Sum zero() { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
    static Sum start(int32_t value) { return {_mm256_set1_epi32(value), _mm256_set1_epi32(value)}; }
    static Sum add_sums(Sum a, Sum b) { return {_mm256_add_epi32(a.low, b.low), _mm256_add_epi32(a.high, b.high)}; }
    static Float scales(const float *from) { return load_floats(from); }
    static Float value(Sum sum, Float scale) {
        return mul({_mm256_cvtepi32_ps(sum.low), _mm256_cvtepi32_ps(sum.high)}, scale);
    }
};

}  // namespace
}  // namespace mmkg
