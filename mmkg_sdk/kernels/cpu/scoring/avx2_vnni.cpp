// AVX2 with AVX-VNNI: sums of products of 8 bits. As to the order of headers see scoring/avx2.cpp.
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

#include "scoring/packed_tiles.h"
#include "simd/packed_avx2.h"

namespace mmkg {
namespace {

struct Quads : CodesAvx2 {
    // As text, with the prefix that is not AVX-512's: not every compiler in use has the intrinsic.
    [[gnu::always_inline]] static inline void add_products(Sum &sum, Words row, __m256i query) {
        asm volatile("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum.low) : "x"(row.low), "x"(query));
        asm volatile("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum.high) : "x"(row.high), "x"(query));
    }
};

}  // namespace
}  // namespace mmkg

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC reset_options
#endif

namespace mmkg {
const InstructionSet *avx2_vnni_set() {
    unsigned int a = 0, b, c, d;
    const bool sums = __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & 1u << 4);
    if (!sums || !avx2_set()) return nullptr;
    static const InstructionSet set = [] {
        InstructionSet extended = *avx2_set();
        extended.id = MMKG_AVX2_VNNI;
        extended.name = "avx2_vnni";
        extended.packed[MMKG_INT8] = packed_pass<Quads>(kMostCode, 1.0);
        return extended;
    }();
    return &set;
}
}  // namespace mmkg

#else

namespace mmkg {
const InstructionSet *avx2_vnni_set() { return nullptr; }
}  // namespace mmkg

#endif
