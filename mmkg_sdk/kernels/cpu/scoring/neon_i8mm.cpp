// ARM64 with FEAT_I8MM: products of matrices of 8 bits. As to the order of headers see scoring/avx2.cpp.
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>

#include "mmkg.h"
#include "scoring/arm_features.h"
#include "scoring/instruction_set.h"
#include "simd/int8.h"

#if defined(__aarch64__)

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("i8mm"))), apply_to = function)
#else
#pragma GCC target("arch=armv8.2-a+i8mm")
#endif

#include "simd/packed_neon.h"

namespace mmkg {
namespace {

// USMMLA takes 8 codes of two rows and of two queries and adds to four sums at once, for which SDOT is needed twice. So
// two places of a group are read together, and 16 rows and two queries have eight vectors of sums. Rows are unsigned, as
// they are stored: sums begin with what takes kRowOffset off, see simd/int8.h, and are exact.
constexpr int kRowPairs = kGroupRows / 2;
static_assert(kPlacesStep % 2 == 0, "places are read in twos");

// The words of a query at two places, then those of the next one.
template <bool Alone>
[[gnu::always_inline]] inline int8x16_t query_pair(const uint32_t *first, const uint32_t *second) {
    const auto load = [](const uint32_t *from) __attribute__((always_inline)) {
        return Alone ? vld1_dup_u32(from) : vld1_u32(from);
    };
    const uint32x2_t here = load(first), next = load(second);
    return vreinterpretq_s8_u32(vcombine_u32(vzip1_u32(here, next), vzip2_u32(here, next)));
}

template <int Queries>
void score_pairs(const PackedGroups &in, const PackedQueries &queries, float *values) {
    constexpr int Pairs = (Queries + 1) / 2;
    constexpr bool Odd = Queries % 2 != 0;
    const uint32_t *rows = in.words;
    for (int64_t g = 0; g < in.count; ++g) {
        int32x4_t sum[Pairs][kRowPairs];
#pragma GCC unroll 24
        for (int i = 0; i < Pairs * kRowPairs; ++i) {
            const int32x2_t start = vld1_s32(queries.start + 2 * (i / kRowPairs));
            sum[i / kRowPairs][i % kRowPairs] = vcombine_s32(start, start);
        }
        const uint32_t *words = queries.words;
        for (int64_t p = 0; p < in.places; p += 2, rows += 2 * kGroupRows, words += 2 * Queries) {
            __builtin_prefetch(rows + in.places * kGroupRows);
            __builtin_prefetch(rows + (in.places + 1) * kGroupRows);
            int8x16_t query[Pairs];
#pragma GCC unroll 3
            for (int j = 0; j < Pairs - Odd; ++j) query[j] = query_pair<false>(words + 2 * j, words + Queries + 2 * j);
            if (Odd) query[Pairs - 1] = query_pair<true>(words + Queries - 1, words + 2 * Queries - 1);
#pragma GCC unroll 4
            for (int i = 0; i < kRowPairs / 2; ++i) {
                asm volatile("" ::: "memory");  // with the loads of the next rows before, sums would not fit registers
                const uint32x4_t here = vld1q_u32(rows + 4 * i), next = vld1q_u32(rows + kGroupRows + 4 * i);
                const uint8x16_t upper = vreinterpretq_u8_u32(vzip1q_u32(here, next));
                const uint8x16_t lower = vreinterpretq_u8_u32(vzip2q_u32(here, next));
#pragma GCC unroll 3
                for (int j = 0; j < Pairs; ++j) {
                    sum[j][2 * i] = vusmmlaq_s32(sum[j][2 * i], upper, query[j]);
                    sum[j][2 * i + 1] = vusmmlaq_s32(sum[j][2 * i + 1], lower, query[j]);
                }
            }
        }
#pragma GCC unroll 4
        for (int i = 0; i < kRowPairs / 2; ++i) {
            const float32x4_t scale = vld1q_f32(in.scales + g * kGroupRows + 4 * i);
            float *const to = values + g * kGroupRows + 4 * i;
#pragma GCC unroll 6
            for (int q = 0; q < Queries; ++q) {
                const int32x4_t upper = sum[q / 2][2 * i], lower = sum[q / 2][2 * i + 1];
                const int32x4_t own = q % 2 ? vuzp2q_s32(upper, lower) : vuzp1q_s32(upper, lower);
                vst1q_f32(to + q * kPassRows, vmulq_f32(vcvtq_f32_s32(own), scale));
            }
        }
    }
}

}  // namespace
}  // namespace mmkg

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC reset_options
#endif

namespace mmkg {
const InstructionSet *neon_i8mm_set() {
    if (!has_matrix_products() || !neon_bf16_set()) return nullptr;
    // One query would leave half of every product unused.
    static const ScoreGroups score[PackedNeon::queries] = {neon_bf16_set()->packed[MMKG_INT8].score[0],
                                                           score_pairs<2>,
                                                           score_pairs<3>,
                                                           score_pairs<4>,
                                                           score_pairs<5>,
                                                           score_pairs<6>};
    static const InstructionSet set = [] {
        InstructionSet extended = *neon_bf16_set();
        extended.id = MMKG_NEON_I8MM;
        extended.name = "neon_i8mm";
        extended.packed[MMKG_INT8].score = score;
        return extended;
    }();
    return &set;
}
}  // namespace mmkg

#else

namespace mmkg {
const InstructionSet *neon_i8mm_set() { return nullptr; }
}  // namespace mmkg

#endif
