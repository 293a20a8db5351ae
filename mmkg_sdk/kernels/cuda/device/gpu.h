// One GPU of this process: its primary context, kernels of the image that were loaded, and whether it is still of use.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "common/status.h"
#include "cuda/device/kernel.h"
#include "cuda/device/pinned.h"
#include "cuda/driver/driver.h"
#include "cuda/image/image.h"
#include "mmkg_cuda.h"

struct mmkg_gpu {
    mmkg_gpu(int device, const void *image, int64_t bytes);
    ~mmkg_gpu();
    mmkg_gpu(const mmkg_gpu &) = delete;
    mmkg_gpu &operator=(const mmkg_gpu &) = delete;

    // A kernel of the image; loaded when it is first asked for, which waits for the device and does not suit a capture.
    // Throws BadArgument if the image has none of that name for this GPU. Call it within a Scope.
    const mmkg::cuda::Kernel &kernel(const std::string &name);
    bool has_kernel(const std::string &name) const;

    // The kernel if the image has it for this GPU, else null.
    const mmkg::cuda::Kernel *kernel_or_null(const std::string &name) {
        return has_kernel(name) ? &kernel(name) : nullptr;
    }

    // Throws if nothing can run any more: the GPU was lost, or this is a forked child.
    void require_usable() const;

    // Gives the driver back what graphs worked in and none that runs needs; others get theirs with their next launch.
    void trim_graph_memory() const { mmkg::cuda::check(api.graph_memory_trim(number), "free memory of graphs"); }

    // Every later call fails fast with this text.
    void lose(const char *text);

    const mmkg::cuda::Api &api;
    const mmkg::cuda::Image image;
    mmkg_gpu_facts facts;
    mmkg::cuda::Context context = nullptr;
    mmkg::cuda::MemoryPool pool = nullptr;  // for memory that is ordered on streams
    mmkg::cuda::PinnedBlocks pinned;

private:
    void open(int device);

    mmkg::cuda::DeviceNumber number = 0;
    const long process;
    std::mutex loading;
    std::map<std::string, std::unique_ptr<mmkg::cuda::Kernel>> kernels;
    mutable std::mutex losing;
    std::atomic<bool> is_lost{false};
    std::string why_lost;
};

namespace mmkg::cuda {

// Lets the calling thread get and free memory while another captures, whichever library does; gives the mode before.
// Else such a call fails, and spoils that capture, where it was begun for all threads (CU_STREAM_CAPTURE_MODE_GLOBAL).
int relax_captures(const Api &api);

// The GPU's context is the calling thread's as long as this lives, and captures of other threads are none of its
// business; what was before is again afterwards.
class Scope {
public:
    explicit Scope(const mmkg_gpu &gpu);
    ~Scope();
    Scope(const Scope &) = delete;
    Scope &operator=(const Scope &) = delete;

private:
    const mmkg_gpu &gpu;
    int capture_mode;
};

// guarded() within a Scope. An error that leaves the GPU of no use is kept for later calls.
template <class Work>
mmkg_status on_gpu(mmkg_gpu *gpu, Work work) noexcept {
    return guarded([&] {
        require(gpu != nullptr, "gpu is NULL");
        const Scope scope(*gpu);
        try {
            work();
        } catch (const DriverError &error) {
            if (error.lost) gpu->lose(error.what());
            throw;
        }
    });
}

// Memory of the GPU that exists in the order of a stream: work that was put on it before the end of this object's life
// may use it, and nothing waits.
class Workspace {
public:
    Workspace(const mmkg_gpu &gpu, int64_t bytes, Stream stream);
    ~Workspace();
    Workspace(const Workspace &) = delete;
    Workspace &operator=(const Workspace &) = delete;

    const int64_t bytes;

    // The next part of it, a multiple of 256 bytes from its start.
    Address take(int64_t part_bytes);

    // What take() takes for a part: sums of these are what the constructor asks for.
    static int64_t rounded(int64_t part_bytes) { return (part_bytes + 255) / 256 * 256; }

private:
    const mmkg_gpu &gpu;
    const Stream stream;
    Address first = 0;
    int64_t taken = 0;
};

// Waits for the stream when it goes, if nothing has until then; memory that the work uses is declared before it.
class Waiting {
public:
    Waiting(const mmkg_gpu &gpu_, Stream stream_) : gpu(gpu_), stream(stream_) {}
    ~Waiting() {
        if (!done) gpu.api.stream_synchronize(stream);
    }
    Waiting(const Waiting &) = delete;
    Waiting &operator=(const Waiting &) = delete;

    void wait(const char *what) {
        done = true;
        check(gpu.api.stream_synchronize(stream), what);
    }

private:
    const mmkg_gpu &gpu;
    const Stream stream;
    bool done = false;
};

// Memory of the GPU for as long as this lives; freeing waits for all work.
class Memory {
public:
    Memory(const mmkg_gpu &gpu, int64_t bytes);
    ~Memory();
    Memory(const Memory &) = delete;
    Memory &operator=(const Memory &) = delete;

    const int64_t bytes;
    Address address = 0;

private:
    const mmkg_gpu &gpu;
};

// A stream's handle as C functions take it.
inline Stream stream_of(uint64_t handle) { return reinterpret_cast<Stream>(static_cast<uintptr_t>(handle)); }

}  // namespace mmkg::cuda
