// The C functions for memory of a GPU, pinned memory of the host, and copies.
#include "cuda/device/gpu.h"

using mmkg::require;
using mmkg::cuda::check;
using mmkg::cuda::on_gpu;
using mmkg::cuda::stream_of;

namespace {

size_t size_of(int64_t bytes) {
    require(bytes >= 0, "bytes are negative");
    return static_cast<size_t>(bytes);
}

std::string amount(const char *what, int64_t bytes) { return what + std::to_string(bytes) + " bytes of memory"; }

}  // namespace

mmkg_status mmkg_gpu_allocate(mmkg_gpu *gpu, int64_t bytes, uint64_t *address) {
    return on_gpu(gpu, [&] {
        require(bytes > 0 && address != nullptr, "bytes must be positive, and address not NULL");
        check(gpu->api.allocate(address, size_of(bytes)), amount("get on the GPU ", bytes).c_str());
    });
}

mmkg_status mmkg_gpu_free(mmkg_gpu *gpu, uint64_t address) {
    return on_gpu(gpu, [&] { check(gpu->api.free(address), "free memory of the GPU"); });
}

mmkg_status mmkg_gpu_allocate_host(mmkg_gpu *gpu, int64_t bytes, void **host) {
    return on_gpu(gpu, [&] {
        require(bytes > 0 && host != nullptr, "bytes must be positive, and host not NULL");
        check(gpu->api.allocate_host(host, size_of(bytes), 0), amount("get pinned ", bytes).c_str());
    });
}

mmkg_status mmkg_gpu_free_host(mmkg_gpu *gpu, void *host) {
    return on_gpu(gpu, [&] { check(gpu->api.free_host(host), "free pinned memory"); });
}

mmkg_status mmkg_gpu_memory(mmkg_gpu *gpu, int64_t *free_bytes, int64_t *all_bytes) {
    return on_gpu(gpu, [&] {
        require(free_bytes != nullptr && all_bytes != nullptr, "free_bytes or all_bytes is NULL");
        size_t unused = 0, all = 0;
        check(gpu->api.memory_info(&unused, &all), "ask for the GPU's memory");
        *free_bytes = static_cast<int64_t>(unused);
        *all_bytes = static_cast<int64_t>(all);
    });
}

mmkg_status mmkg_gpu_copy_to_device(mmkg_gpu *gpu, uint64_t to, const void *from, int64_t bytes, uint64_t stream) {
    return on_gpu(gpu, [&] {
        require(bytes == 0 || from != nullptr, "from is NULL");
        if (bytes != 0) check(gpu->api.copy_to_device(to, from, size_of(bytes), stream_of(stream)), "copy to the GPU");
    });
}

mmkg_status mmkg_gpu_copy_to_host(mmkg_gpu *gpu, void *to, uint64_t from, int64_t bytes, uint64_t stream) {
    return on_gpu(gpu, [&] {
        require(bytes == 0 || to != nullptr, "to is NULL");
        if (bytes != 0) check(gpu->api.copy_to_host(to, from, size_of(bytes), stream_of(stream)), "copy from the GPU");
    });
}

mmkg_status mmkg_gpu_copy(mmkg_gpu *gpu, uint64_t to, uint64_t from, int64_t bytes, uint64_t stream) {
    return on_gpu(gpu, [&] {
        if (bytes != 0) check(gpu->api.copy_on_device(to, from, size_of(bytes), stream_of(stream)), "copy on the GPU");
    });
}

mmkg_status mmkg_gpu_fill(mmkg_gpu *gpu, uint64_t to, uint8_t value, int64_t bytes, uint64_t stream) {
    return on_gpu(gpu, [&] {
        if (bytes != 0) check(gpu->api.fill(to, value, size_of(bytes), stream_of(stream)), "fill memory of the GPU");
    });
}
