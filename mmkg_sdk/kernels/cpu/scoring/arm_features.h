// What an ARM64 processor has beyond what all have.
#pragma once

#if defined(__aarch64__)

#if defined(__APPLE__)
#include <sys/sysctl.h>
#elif defined(__linux__)
#include <sys/auxv.h>
#endif

namespace mmkg {

#if defined(__APPLE__)

inline bool has_feature(const char *name) {
    int value = 0;
    size_t size = sizeof value;
    return sysctlbyname(name, &value, &size, nullptr, 0) == 0 && value != 0;
}
inline bool has_dot_products() { return has_feature("hw.optional.arm.FEAT_DotProd"); }
inline bool has_bfloat_products() { return has_feature("hw.optional.arm.FEAT_BF16"); }
inline bool has_matrix_products() { return has_feature("hw.optional.arm.FEAT_I8MM"); }

#elif defined(__linux__)

// HWCAP_ASIMDDP, HWCAP2_BF16 and HWCAP2_I8MM of the kernel's interface; older headers lack the last two.
inline bool has_dot_products() { return getauxval(AT_HWCAP) >> 20 & 1; }
inline bool has_bfloat_products() { return getauxval(AT_HWCAP2) >> 14 & 1; }
inline bool has_matrix_products() { return getauxval(AT_HWCAP2) >> 13 & 1; }

#else

inline bool has_dot_products() { return false; }
inline bool has_bfloat_products() { return false; }
inline bool has_matrix_products() { return false; }

#endif

}  // namespace mmkg

#endif
