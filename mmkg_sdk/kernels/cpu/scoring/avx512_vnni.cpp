// AVX-512 with VNNI: sums of products of 8 bits. As to the order of headers see scoring/avx2.cpp.
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>

#include "mmkg.h"
#include "scoring/instruction_set.h"

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

// A word holds four codes; sums are exact. See simd/int8.h.
struct Quads : PackedAvx512 {
    using Sum = __m512i;
    static Sum zero() { return _mm512_setzero_si512(); }
    static Sum start(int32_t value) { return _mm512_set1_epi32(value); }
    // As the intrinsic; with that GCC 12 copies every sum and runs out of registers.
    [[gnu::always_inline]] static inline void add_products(Sum &sum, Words row, Words query) {
        asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(row), "v"(query));
    }
    static Sum add_sums(Sum a, Sum b) { return _mm512_add_epi32(a, b); }
    static Float scales(const float *from) { return _mm512_loadu_ps(from); }
    static Float value(Sum sum, Float scale) { return _mm512_mul_ps(_mm512_cvtepi32_ps(sum), scale); }
};

constexpr PackedKernels kernels = packed_kernels<Quads>();

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
        extended.packed[MMKG_INT8] = kernels.of;
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
