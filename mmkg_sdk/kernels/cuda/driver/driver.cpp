#include "cuda/driver/driver.h"

#include <cstdlib>
#include <mutex>

#include "common/status.h"

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#else
#include <dlfcn.h>
#endif

namespace mmkg::cuda {

namespace {

Api api;
int version = 0;
bool ready = false;
std::mutex opening;

#if defined(_WIN32)
constexpr const char *kLibrary = "nvcuda.dll";
void *open_library(const char *path) { return reinterpret_cast<void *>(LoadLibraryA(path)); }
void *find(void *library, const char *name) {
    return reinterpret_cast<void *>(GetProcAddress(static_cast<HMODULE>(library), name));
}
#else
constexpr const char *kLibrary = "libcuda.so.1";
void *open_library(const char *path) { return dlopen(path, RTLD_NOW | RTLD_LOCAL); }
void *find(void *library, const char *name) { return dlsym(library, name); }
#endif

std::string version_text(int number) {
    return std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10);
}

template <class Call>
void resolve(void *library, const char *path, const char *name, Call &call) {
    call = reinterpret_cast<Call>(find(library, name));
    if (call == nullptr)
        throw DriverError("the NVIDIA driver library " + std::string(path) + " has no function " + name +
                              ": it is too old; install a driver for CUDA " + version_text(kOldestDriver) +
                              " or newer",
                          false);
}

void open_driver() {
    const char *chosen = std::getenv("MMKG_CUDA_DRIVER");
    const char *path = chosen != nullptr && *chosen != '\0' ? chosen : kLibrary;
    void *const library = open_library(path);
    if (library == nullptr)
        throw DriverError("the NVIDIA driver library " + std::string(path) +
                              " was not found: install NVIDIA's driver, or give its path in MMKG_CUDA_DRIVER",
                          false);
    // The version first: an old driver is named as such, not by the first function that it lacks.
    resolve(library, path, "cuDriverGetVersion", api.driver_version);
    if (api.driver_version(&version) == kSuccess && version < kOldestDriver)
        throw DriverError("the NVIDIA driver is for CUDA " + version_text(version) + "; expected " +
                              version_text(kOldestDriver) + " or newer: update the driver",
                          false);
#define MMKG_CUDA_RESOLVE(symbol, name, arguments) resolve(library, path, #symbol, api.name);
    MMKG_CUDA_FUNCTIONS(MMKG_CUDA_RESOLVE)
#undef MMKG_CUDA_RESOLVE
    check(api.init(0), "start the NVIDIA driver");
}

// Results after which the context is of no use any more: cuda.h says of each that the process must be started anew.
bool is_lost(Result result) {
    switch (result) {
        case 46:   // CUDA_ERROR_DEVICE_UNAVAILABLE
        case 214:  // CUDA_ERROR_ECC_UNCORRECTABLE
        case 220:  // CUDA_ERROR_NVLINK_UNCORRECTABLE
        case 226:  // CUDA_ERROR_CONTAINED
        case 700:  // CUDA_ERROR_ILLEGAL_ADDRESS
        case 702:  // CUDA_ERROR_LAUNCH_TIMEOUT
        case 709:  // CUDA_ERROR_CONTEXT_IS_DESTROYED
        case 710:  // CUDA_ERROR_ASSERT
        case 714:  // CUDA_ERROR_HARDWARE_STACK_ERROR
        case 715:  // CUDA_ERROR_ILLEGAL_INSTRUCTION
        case 716:  // CUDA_ERROR_MISALIGNED_ADDRESS
        case 717:  // CUDA_ERROR_INVALID_ADDRESS_SPACE
        case 718:  // CUDA_ERROR_INVALID_PC
        case 719:  // CUDA_ERROR_LAUNCH_FAILED
        case 721:  // CUDA_ERROR_TENSOR_MEMORY_LEAK
        case 911:  // CUDA_ERROR_EXTERNAL_DEVICE
        case 999:  // CUDA_ERROR_UNKNOWN
            return true;
        default:
            return false;
    }
}

}  // namespace

const Api &driver() {
    const std::lock_guard<std::mutex> one_at_a_time(opening);
    if (!ready) open_driver();
    ready = true;
    return api;
}

int driver_version() {
    driver();
    return version;
}

void check(Result result, const char *what) {
    if (result == kSuccess) return;
    const char *name = nullptr, *meaning = nullptr;
    api.error_name(result, &name);
    api.error_string(result, &meaning);
    std::string text = std::string("cannot ") + what + ": " + (name ? name : "unknown error") + " (" +
                       std::to_string(result) + (meaning ? std::string(", ") + meaning : "") + ")";
    if (result == kOutOfMemory) throw NoMemory(text);
    throw DriverError(text, is_lost(result));
}

}  // namespace mmkg::cuda
