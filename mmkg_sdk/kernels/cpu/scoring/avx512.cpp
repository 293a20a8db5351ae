// AVX-512 (F, BW, DQ, VL). As to the order of headers see scoring/avx2.cpp.
#include <cstddef>
#include <cstdint>

#include "scoring/instruction_set.h"

#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl"))), \
                             apply_to = function)
#else
#pragma GCC target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")
#endif

#include "scoring/make_set.h"
#include "simd/avx512.h"

namespace mmkg {
namespace {

const InstructionSet &table() {
    static const InstructionSet set = make_set<Avx512, Narrow>(2, "avx512");
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
