// AVX-512 with VNNI: sums of products of 8 bits. As to the order of headers see scoring/avx2.cpp.
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

#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni"))), \
                             apply_to = function)
#else
#pragma GCC target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")
#endif

#include "scoring/packed_tiles.h"
#include "simd/packed_avx512.h"

namespace mmkg {
namespace {

struct Quads : CodesAvx512 {
    // As the intrinsic; with that GCC 12 copies every sum and runs out of registers.
    [[gnu::always_inline]] static inline void add_products(Sum &sum, Words row, Words query) {
        asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(row), "v"(query));
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
const InstructionSet *avx512_vnni_set() {
    if (!__builtin_cpu_supports("avx512vnni") || !avx512_set()) return nullptr;
    static const InstructionSet set = [] {
        InstructionSet extended = *avx512_set();
        extended.id = MMKG_AVX512_VNNI;
        extended.name = "avx512_vnni";
        extended.packed[MMKG_INT8] = packed_pass<Quads>(kMostCode, 1.0);
        return extended;
    }();
    return &set;
}
}  // namespace mmkg

#else

namespace mmkg {
const InstructionSet *avx512_vnni_set() { return nullptr; }
}  // namespace mmkg

#endif
