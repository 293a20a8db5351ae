// At the door of the library: whatever goes wrong leaves it as mmkg::Error.
#pragma once

#include <exception>
#include <new>
#include <utility>

#include "mmkg/error.hpp"

namespace mmkg::internal {

template <class Work>
decltype(auto) guarded(Work &&work) {
    try {
        return std::forward<Work>(work)();
    } catch (const Error &) {
        throw;
    } catch (const std::bad_alloc &) {
        throw Error(Fault::memory, "out of memory. Free some, or ask for less at a time.");
    } catch (const std::exception &error) {
        throw Error(Fault::backend, std::string("the system refused something: ") + error.what());
    }
}

}  // namespace mmkg::internal
