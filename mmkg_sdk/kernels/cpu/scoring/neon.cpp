// ARM64, all of whose processors have NEON with fused multiply-adds.
#include "mmkg.h"
#include "scoring/instruction_set.h"

#if defined(__aarch64__)

#include "scoring/make_set.h"
#include "simd/neon.h"

namespace mmkg {
const InstructionSet *neon_set() {
    static const InstructionSet set = make_set<Neon, Neon>(MMKG_NEON, "neon");
    return &set;
}
}  // namespace mmkg

#else

namespace mmkg {
const InstructionSet *neon_set() { return nullptr; }
}  // namespace mmkg

#endif
