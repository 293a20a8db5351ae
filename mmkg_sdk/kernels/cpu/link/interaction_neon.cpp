// The late interaction on ARM64.
#include "link/interaction_set.h"

#if defined(__aarch64__)

#include "link/make_interaction_set.h"
#include "mmkg.h"
#include "simd/eight_neon.h"

namespace mmkg {
const InteractionSet *neon_interaction_set() {
    static const InteractionSet set = make_interaction_set<EightNeon, EightNeon>(MMKG_NEON);
    return &set;
}
}  // namespace mmkg

#else

namespace mmkg {
const InteractionSet *neon_interaction_set() { return nullptr; }
}  // namespace mmkg

#endif
