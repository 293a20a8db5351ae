#include "common/status.h"

namespace mmkg {

namespace {
thread_local std::string last_error;
}

mmkg_status remember(mmkg_status status, const char *text) noexcept {
    try {
        last_error = text;
    } catch (...) {
        last_error.clear();
    }
    return status;
}

}  // namespace mmkg

const char *mmkg_last_error(void) { return mmkg::last_error.c_str(); }
