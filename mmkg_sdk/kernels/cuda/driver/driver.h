// NVIDIA's driver library, opened when it is first asked for, and its errors as exceptions.
#pragma once

#include <stdexcept>
#include <string>

#include "cuda/driver/api.h"

namespace mmkg::cuda {

// The oldest driver that is taken: CUDA 12.0, the first with tensor maps.
constexpr int kOldestDriver = 12000;

// A call of the driver failed; `lost` if the device or its context can do nothing more for this process.
struct DriverError : std::runtime_error {
    DriverError(const std::string &text, bool lost_) : std::runtime_error(text), lost(lost_) {}
    const bool lost;
};

// The driver, ready for use. What MMKG_CUDA_DRIVER names is opened, else libcuda.so.1. Once it was found it stays; a
// failure is tried anew with the next call.
//
// Throws DriverError naming what is missing: the library, a function of it, a device, a newer driver.
const Api &driver();

// CUDA version of the driver, 13000 for 13.0.
int driver_version();

// Throws if `result` is none of success: NoMemory for memory, else DriverError. `what` is what was being done.
void check(Result result, const char *what);

}  // namespace mmkg::cuda
