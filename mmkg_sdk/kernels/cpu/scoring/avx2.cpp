// AVX2 with FMA. Headers of the standard library come before the pragma, so that no inline function of theirs is
// compiled for a processor that may not be there.
#include <cstddef>
#include <cstdint>

#include "scoring/instruction_set.h"

#if defined(__x86_64__) && defined(__GNUC__)

#include <cpuid.h>
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif

#include "scoring/make_set.h"
#include "simd/avx2.h"

namespace mmkg {
namespace {

const InstructionSet &table() {
    static const InstructionSet set = make_set<Avx2, Avx2>(1, "avx2");
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
