// Which code a handle runs on.
#pragma once

#include <cstdlib>
#include <cstring>

#include "common/status.h"

namespace mmkg {

// Of two that a processor has, the faster one stands first.
constexpr int32_t kFastestFirst[] = {MMKG_AVX512_BF16, MMKG_AVX512_VNNI, MMKG_AVX512, MMKG_AVX2_VNNI, MMKG_AVX2,
                                     MMKG_NEON_I8MM, MMKG_NEON_BF16, MMKG_NEON_DOT, MMKG_NEON,
                                     MMKG_PORTABLE};

// `find` gives the code of an mmkg_instruction_set that the processor has, or null.
template <class Set>
const Set &chosen_set(int32_t id, const Set *(*find)(int32_t)) {
    const auto found = [&](int32_t number) { return mmkg_has_instruction_set(number) ? find(number) : nullptr; };
    if (id != MMKG_BEST) {
        const Set *set = found(id);
        require(set, "instruction_set is none of this build and processor");
        return *set;
    }
    const char *wanted = std::getenv("MMKG_INSTRUCTION_SET");
    for (const int32_t best : kFastestFirst) {
        const Set *set = found(best);
        if (set && (!wanted || !*wanted || std::strcmp(wanted, mmkg_instruction_set_name(best)) == 0)) return *set;
    }
    throw BadArgument("MMKG_INSTRUCTION_SET names none of this processor's: portable, avx2, avx2_vnni, avx512, "
                      "avx512_vnni, avx512_bf16; neon, neon_dot, neon_bf16 or neon_i8mm");
}

}  // namespace mmkg
