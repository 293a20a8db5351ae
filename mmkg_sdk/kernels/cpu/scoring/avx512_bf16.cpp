// AVX-512 with VNNI and products of bfloat16. As to the order of headers see scoring/avx2.cpp.
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>

#include "mmkg.h"
#include "scoring/instruction_set.h"

#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push( \
    __attribute__((target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16"))), \
    apply_to = function)
#else
#pragma GCC target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16")
#endif

#include "scoring/packed_tiles.h"
#include "simd/packed_avx512.h"

namespace mmkg {
namespace {

// A word holds two numbers; their products are added to the lane, denormals as zeros.
struct Pairs : PackedAvx512 {
    using Sum = __m512;
    static Sum zero() { return _mm512_setzero_ps(); }
    static Sum start(int32_t) { return zero(); }
    // As the intrinsic; with that GCC 12 copies every sum and runs out of registers.
    [[gnu::always_inline]] static inline void add_products(Sum &sum, Words row, Words query) {
        asm("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(row), "v"(query));
    }
    static Sum add_sums(Sum a, Sum b) { return _mm512_add_ps(a, b); }
    static Float scales(const float *) { return zero(); }
    static Float value(Sum sum, Float) { return sum; }
};

}  // namespace
}  // namespace mmkg

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC reset_options
#endif

namespace mmkg {
const InstructionSet *avx512_bf16_set() {
    if (!__builtin_cpu_supports("avx512bf16") || !avx512_vnni_set()) return nullptr;
    static const InstructionSet set = [] {
        InstructionSet extended = *avx512_vnni_set();
        extended.id = MMKG_AVX512_BF16;
        extended.name = "avx512_bf16";
        extended.packed[MMKG_BFLOAT16] = packed_pass<Pairs>(0, 1.0);
        return extended;
    }();
    return &set;
}
}  // namespace mmkg

#else

namespace mmkg {
const InstructionSet *avx512_bf16_set() { return nullptr; }
}  // namespace mmkg

#endif
