// The late interaction in AVX2 with FMA and F16C. As to the order of headers see scoring/avx2.cpp.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "link/interaction_set.h"

#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC target("avx2,fma,f16c")
#endif

#include "link/make_interaction_set.h"
#include "simd/eight_avx2.h"

namespace mmkg {
namespace {
const InteractionSet &table() {
    static const InteractionSet set = make_interaction_set<EightAvx2, EightAvx2>(1);
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
const InteractionSet *avx2_interaction_set() { return &table(); }
}  // namespace mmkg

#else

namespace mmkg {
const InteractionSet *avx2_interaction_set() { return nullptr; }
}  // namespace mmkg

#endif
