// The C functions that open, describe and close a GPU.
#include <cstring>
#include <memory>
#include <vector>

#include "cuda/device/gpu.h"

using mmkg::guarded;
using mmkg::require;

namespace {

// How each mmkg_gpu_enter found the thread, for its mmkg_gpu_leave.
thread_local std::vector<int> capture_modes;

}  // namespace

mmkg_status mmkg_gpu_count(int32_t *count) {
    return guarded([&] {
        require(count != nullptr, "count is NULL");
        int found = 0;
        mmkg::cuda::check(mmkg::cuda::driver().device_count(&found), "count the GPUs");
        *count = found;
    });
}

mmkg_status mmkg_gpu_image_targets(const void *image, int64_t bytes, char *text, int64_t size) {
    return guarded([&] {
        const mmkg::cuda::Image whole(image, bytes);
        whole.verify();
        const std::string found = whole.targets();
        require(text != nullptr && size > static_cast<int64_t>(found.size()), "text is NULL or too short");
        std::memcpy(text, found.c_str(), found.size() + 1);
    });
}

mmkg_status mmkg_gpu_open(int32_t device, const void *image, int64_t bytes, mmkg_gpu **gpu) {
    return guarded([&] {
        require(gpu != nullptr, "gpu is NULL");
        *gpu = std::make_unique<mmkg_gpu>(device, image, bytes).release();
    });
}

void mmkg_gpu_close(mmkg_gpu *gpu) { delete gpu; }

mmkg_status mmkg_gpu_describe(const mmkg_gpu *gpu, mmkg_gpu_facts *facts) {
    return guarded([&] {
        require(gpu != nullptr && facts != nullptr, "gpu or facts is NULL");
        *facts = gpu->facts;
    });
}

int32_t mmkg_gpu_has_kernel(const mmkg_gpu *gpu, const char *name) {
    int32_t found = 0;
    guarded([&] { found = gpu != nullptr && name != nullptr && gpu->has_kernel(name); });
    return found;
}

mmkg_status mmkg_gpu_usable(const mmkg_gpu *gpu) {
    return guarded([&] {
        require(gpu != nullptr, "gpu is NULL");
        gpu->require_usable();
    });
}

mmkg_status mmkg_gpu_enter(mmkg_gpu *gpu) {
    return guarded([&] {
        require(gpu != nullptr, "gpu is NULL");
        gpu->require_usable();
        mmkg::cuda::check(gpu->api.context_push(gpu->context), "use the GPU from this thread");
        capture_modes.push_back(mmkg::cuda::relax_captures(gpu->api));
    });
}

mmkg_status mmkg_gpu_leave(mmkg_gpu *gpu) {
    return guarded([&] {
        require(gpu != nullptr, "gpu is NULL");
        require(!capture_modes.empty(), "this thread has not entered the GPU");
        gpu->api.exchange_capture_mode(&capture_modes.back());
        capture_modes.pop_back();
        mmkg::cuda::Context popped;
        mmkg::cuda::check(gpu->api.context_pop(&popped), "leave the GPU");
    });
}
