// version.hpp: the version of these headers, which the library must have, too.
#pragma once

#define MMKG_MODEL_MAJOR 0
#define MMKG_MODEL_MINOR 2

namespace mmkg {

// Filled in where a program is compiled: with the headers that it knows.
struct Headers {
    int major = MMKG_MODEL_MAJOR;
    int minor = MMKG_MODEL_MINOR;
};

}  // namespace mmkg
