// What a thread does that waits for another without sleeping.
#pragma once

namespace mmkg {

inline void pause() {
#if defined(__x86_64__) && defined(__GNUC__)
    __builtin_ia32_pause();
#endif
}

}  // namespace mmkg
