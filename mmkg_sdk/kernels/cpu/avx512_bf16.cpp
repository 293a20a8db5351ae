// AVX-512 with products of bfloat16. As to the order of headers see avx2.cpp.
#include <cstddef>
#include <cstdint>

#include "instruction_set.h"

#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16"))), \
                             apply_to = function)
#else
#pragma GCC target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")
#endif

#include "make_set.h"
#include "simd_avx512.h"

namespace mmkg {
namespace {

// A float's place holds two numbers; their products are added to the lane, denormals as zeros.
struct Pairs : Avx512 {
    static Float roughly_fma(Float a, Float b, Float c) {
        return _mm512_dpbf16_ps(c, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
    }
};

struct NarrowPairs : Avx2 {
    static Float roughly_fma(Float a, Float b, Float c) {
        return _mm256_dpbf16_ps(c, reinterpret_cast<__m256bh>(a), reinterpret_cast<__m256bh>(b));
    }
};

const PanelKernel panels[kPanels] = {
    panel_kernel<InnerProductTile<NarrowPairs, Avx512::product_rows, 1>>(),
    panel_kernel<InnerProductTile<Pairs, Avx512::product_rows, 1>>(),
    panel_kernel<InnerProductTile<Pairs, Avx512::product_rows, 2>>(),
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
    if (!__builtin_cpu_supports("avx512bf16") || !avx512_set()) return nullptr;
    static const InstructionSet set = [] {
        InstructionSet extended = *avx512_set();
        extended.id = 3;
        extended.name = "avx512_bf16";
        extended.bfloat_panels = panels;
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
