// AVX-512 (F, BW, DQ, VL). As to the order of headers see scoring/avx2.cpp.
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
#pragma clang attribute push(__attribute__((target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl"))), \
                             apply_to = function)
#else
#pragma GCC target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")
#endif

#include "scoring/make_set.h"
#include "scoring/packed_tiles.h"
#include "simd/avx512.h"
#include "simd/packed_avx512.h"

namespace mmkg {
namespace {

struct PairedQuads : CodesAvx512 {
    // As three intrinsics; with those GCC 12 copies every sum and runs out of registers.
    [[gnu::always_inline]] static inline void add_products(Sum &sum, Words row, Words query) {
        __m512i pairs;
        asm("vpmaddubsw %[query], %[row], %[pairs]\n\t"
            "vpmaddwd %[one], %[pairs], %[pairs]\n\t"
            "vpaddd %[pairs], %[sum], %[sum]"
            : [sum] "+v"(sum), [pairs] "=&v"(pairs)
            : [query] "v"(query), [row] "v"(row), [one] "v"(_mm512_set1_epi16(1)));
    }
};

const InstructionSet &table() {
    static const InstructionSet set = [] {
        InstructionSet made = make_set<Avx512, Narrow>(MMKG_AVX512, "avx512");
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
const InstructionSet *avx512_set() {
    // The operating system must save the wide registers, too; the builtin looks at that.
    const bool runs = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") && avx2_set() != nullptr;
    return runs ? &table() : nullptr;
}
}  // namespace mmkg

#else

namespace mmkg {
const InstructionSet *avx512_set() { return nullptr; }
}  // namespace mmkg

#endif
