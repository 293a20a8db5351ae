// Errors inside the library are exceptions; at the C functions they become a status and a text.
#pragma once

#include <new>
#include <stdexcept>
#include <string>
#include <system_error>

#include "mmkg.h"

namespace mmkg {

struct BadArgument : std::invalid_argument {
    using std::invalid_argument::invalid_argument;
};

struct NotANumber : std::domain_error {
    explicit NotANumber(const char *what = "a score is NaN") : std::domain_error(what) {}
};

// Of a device, whose text says how much was asked for; of the host it is std::bad_alloc.
struct NoMemory : std::runtime_error {
    using std::runtime_error::runtime_error;
};

inline void require(bool holds, const char *otherwise) {
    if (!holds) throw BadArgument(otherwise);
}

mmkg_status remember(mmkg_status status, const char *text) noexcept;

template <class Work>
mmkg_status guarded(Work work) noexcept {
    try {
        work();
        return MMKG_OK;
    } catch (const BadArgument &error) {
        return remember(MMKG_BAD_ARGUMENT, error.what());
    } catch (const NotANumber &error) {
        return remember(MMKG_NAN, error.what());
    } catch (const NoMemory &error) {
        return remember(MMKG_NO_MEMORY, error.what());
    } catch (const std::bad_alloc &) {
        return remember(MMKG_NO_MEMORY, "out of memory");
    } catch (const std::exception &error) {
        return remember(MMKG_FAILED, error.what());
    } catch (...) {
        return remember(MMKG_FAILED, "unknown failure");
    }
}

}  // namespace mmkg
