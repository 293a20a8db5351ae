// AVX2 with FMA. Headers of the standard library come before the pragma, so that no inline function of theirs is
// compiled for a processor that may not be there.
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>

#include "mmkg.h"
#include "scoring/instruction_set.h"
#include "simd/int8.h"

#if defined(__x86_64__) && defined(__GNUC__)

#include <cpuid.h>
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif

#include "scoring/make_set.h"
#include "scoring/packed_tiles.h"
#include "simd/avx2.h"
#include "simd/packed_avx2.h"

namespace mmkg {
namespace {

alignas(32) constexpr int16_t ones[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};

struct PairedQuads : CodesAvx2 {
    [[gnu::always_inline]] static inline void add_products(Sum &sum, Words row, __m256i query) {
        add_pairs(sum.low, row.low, query);
        add_pairs(sum.high, row.high, query);
    }

private:
    // As three intrinsics; with those GCC 12 loads all queries first and runs out of registers.
    [[gnu::always_inline]] static inline void add_pairs(__m256i &sum, __m256i row, __m256i query) {
        __m256i pairs;
        asm volatile("vpmaddubsw %[query], %[row], %[pairs]\n\t"
                     "vpmaddwd %[one], %[pairs], %[pairs]\n\t"
                     "vpaddd %[pairs], %[sum], %[sum]"
                     : [sum] "+x"(sum), [pairs] "=&x"(pairs)
                     : [query] "x"(query), [row] "x"(row), [one] "m"(ones));
    }
};

const InstructionSet &table() {
    static const InstructionSet set = [] {
        InstructionSet made = make_set<Avx2, Avx2>(MMKG_AVX2, "avx2");
        made.packed[MMKG_INT8] = packed_pass<PairedQuads>(kMostPairedCode, 2.0);
        return made;
    }();
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
const InstructionSet *avx2_set() {
    // Not every compiler in use knows F16C by name.
    unsigned int a, b, c = 0, d;
    const bool half = __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && half ? &table() : nullptr;
}
}  // namespace mmkg

#else

namespace mmkg {
const InstructionSet *avx2_set() { return nullptr; }
}  // namespace mmkg

#endif
