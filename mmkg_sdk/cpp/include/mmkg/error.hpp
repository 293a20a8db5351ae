// error.hpp: what can go wrong, by who is to act.
#pragma once

#include <stdexcept>
#include <string>

#if defined(_WIN32)
#define MMKG_MODEL_API
#else
#define MMKG_MODEL_API __attribute__((visibility("default")))
#endif

namespace mmkg {

enum class Fault {
    bundle,   // the folder is missing, incomplete, changed, or of another version or family: fetch or export it again
    query,    // a label, id, number or input of the caller
    backend,  // the kernels or the system refused something, or a number is too large for float32
    memory    // there is too little of it
};

// The only exception of this library. The message says what was found, what was expected and what to do.
class MMKG_MODEL_API Error : public std::runtime_error {
public:
    Error(Fault fault, const std::string &message) : std::runtime_error(message), fault_(fault) {}
    Fault fault() const noexcept { return fault_; }

private:
    Fault fault_;
};

}  // namespace mmkg
