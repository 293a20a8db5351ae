#include "cuda/device/gpu.h"

#include <algorithm>
#include <cstring>

#if defined(_WIN32)
#include <process.h>
#else
#include <unistd.h>
#endif

namespace {

#if defined(_WIN32)
long this_process() { return _getpid(); }
#else
long this_process() { return static_cast<long>(getpid()); }
#endif

}  // namespace

mmkg_gpu::mmkg_gpu(int device, const void *contents, int64_t bytes)
    : api(mmkg::cuda::driver()), image(contents, bytes), facts{}, process(this_process()) {
    try {
        open(device);
    } catch (...) {
        if (pool != nullptr) api.pool_destroy(pool);
        if (context != nullptr) api.context_release(number);
        throw;
    }
}

void mmkg_gpu::open(int device) {
    using mmkg::cuda::check;
    int count = 0;
    check(api.device_count(&count), "count the GPUs");
    if (device < 0 || device >= count)
        throw mmkg::cuda::DriverError("there is no GPU " + std::to_string(device) + ": the driver shows " +
                                          std::to_string(count) + " (CUDA_VISIBLE_DEVICES may hide others)",
                                      false);
    check(api.device(&number, device), "choose the GPU");
    const auto attribute = [&](int which) {
        int value = 0;
        check(api.device_attribute(&value, which, number), "ask what the GPU has");
        return value;
    };
    size_t memory = 0;
    check(api.device_name(facts.name, sizeof facts.name, number), "ask the GPU's name");
    check(api.device_memory(&memory, number), "ask how much memory the GPU has");
    facts.memory_bytes = static_cast<int64_t>(memory);
    facts.major = attribute(mmkg::cuda::kMajor);
    facts.minor = attribute(mmkg::cuda::kMinor);
    facts.multiprocessors = attribute(mmkg::cuda::kMultiprocessors);
    facts.l2_bytes = attribute(mmkg::cuda::kL2Bytes);
    facts.shared_bytes = attribute(mmkg::cuda::kSharedMemoryOfBlock);
    facts.driver_version = mmkg::cuda::driver_version();
    const std::string which = std::string(facts.name) + " (compute capability " + std::to_string(facts.major) + "." +
                              std::to_string(facts.minor) + ")";
    if (!image.serves(facts.major * 10 + facts.minor))
        throw mmkg::cuda::DriverError("there are no CUDA kernels for " + which + ": they were compiled for " +
                                          image.targets(),
                                      false);
    if (!attribute(mmkg::cuda::kMemoryPools))
        throw mmkg::cuda::DriverError(which + " has no memory pools, as some virtual GPUs; they are needed", false);
    check(api.context_retain(&context, number), "open the GPU");
    const mmkg::cuda::Scope scope(*this);
    mmkg::cuda::MemoryPoolProperties properties{};
    properties.allocation_type = mmkg::cuda::kPinnedAllocation;
    properties.location = {mmkg::cuda::kOnDevice, number};
    check(api.pool_create(&pool, &properties), "make a pool of GPU memory");
    // Freed memory stays in the pool: with the next call it is there at once.
    uint64_t keep = UINT64_MAX;
    check(api.pool_attribute(pool, mmkg::cuda::kReleaseThreshold, &keep), "set up a pool of GPU memory");
}

mmkg_gpu::~mmkg_gpu() {
    if (process != this_process()) return;  // nothing of the driver survives a fork
    api.context_push(context);
    pinned.free_all(api);
    for (const auto &loaded : kernels)
        if (loaded.second != nullptr) api.module_unload(loaded.second->module);  // null: it could not be loaded
    api.pool_destroy(pool);
    mmkg::cuda::Context popped;
    api.context_pop(&popped);
    api.context_release(number);
}

const mmkg::cuda::Kernel &mmkg_gpu::kernel(const std::string &name) {
    const std::lock_guard<std::mutex> one_at_a_time(loading);
    auto &loaded = kernels[name];
    if (loaded == nullptr) {
        const mmkg::cuda::Entry *const entry = image.find(name, facts.major * 10 + facts.minor);
        if (entry == nullptr)
            throw mmkg::BadArgument("there is no CUDA kernel " + name + " for compute capability " +
                                    std::to_string(facts.major) + "." + std::to_string(facts.minor));
        loaded = std::make_unique<mmkg::cuda::Kernel>(api, *entry, facts.shared_bytes);
    }
    return *loaded;
}

bool mmkg_gpu::has_kernel(const std::string &name) const {
    return image.find(name, facts.major * 10 + facts.minor) != nullptr;
}

void mmkg_gpu::require_usable() const {
    if (process != this_process())
        throw mmkg::cuda::DriverError("the GPU was opened before this process was forked, which CUDA does not allow: "
                                      "start processes anew (multiprocessing: spawn)",
                                      false);
    if (!is_lost) return;
    const std::lock_guard<std::mutex> one_at_a_time(losing);
    throw mmkg::cuda::DriverError("the GPU was lost earlier and needs a new process: " + why_lost, false);
}

void mmkg_gpu::lose(const char *text) {
    const std::lock_guard<std::mutex> one_at_a_time(losing);
    if (is_lost) return;
    why_lost = text;
    is_lost = true;
}

namespace mmkg::cuda {

int relax_captures(const Api &api) {
    int mode = kRelaxedCapture;
    check(api.exchange_capture_mode(&mode), "let other threads capture");
    return mode;
}

Scope::Scope(const mmkg_gpu &gpu_) : gpu(gpu_) {
    gpu.require_usable();
    capture_mode = relax_captures(gpu.api);
    const Result result = gpu.api.context_push(gpu.context);
    if (result != kSuccess) gpu.api.exchange_capture_mode(&capture_mode);
    check(result, "use the GPU from this thread");
}

Scope::~Scope() {
    Context popped;
    gpu.api.context_pop(&popped);
    gpu.api.exchange_capture_mode(&capture_mode);
}

Memory::Memory(const mmkg_gpu &gpu_, int64_t bytes_) : bytes(bytes_), gpu(gpu_) {
    const std::string what = "get on the GPU " + std::to_string(bytes) + " bytes of memory";
    check(gpu.api.allocate(&address, static_cast<size_t>(std::max<int64_t>(bytes, 1))), what.c_str());
}

Memory::~Memory() { gpu.api.free(address); }

Workspace::Workspace(const mmkg_gpu &gpu_, int64_t bytes_, Stream stream_)
    : bytes(bytes_), gpu(gpu_), stream(stream_) {
    const std::string what = "get " + std::to_string(bytes) + " bytes of GPU memory to work in";
    check(gpu.api.allocate_ordered(&first, static_cast<size_t>(bytes), gpu.pool, stream), what.c_str());
}

Workspace::~Workspace() { gpu.api.free_ordered(first, stream); }

Address Workspace::take(int64_t part_bytes) {
    const Address part = first + static_cast<Address>(taken);
    taken += rounded(part_bytes);
    require(taken <= bytes, "a kernel asked for more working memory than was counted");
    return part;
}

}  // namespace mmkg::cuda
