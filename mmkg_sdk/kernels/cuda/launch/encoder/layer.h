// What encoder layers on a GPU share: how vectors and heads are padded, and the kernels of triton/encoder/layer.py.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

#include "cuda/device/gpu.h"
#include "cuda/launch/encoder/weights.h"

namespace mmkg::cuda {

constexpr int64_t kFloatBytes = 4;
constexpr int64_t kGroup = 64;  // columns of a head come in groups of so many: GROUP of triton/encoder/layer.py
// Hidden vectors are padded to so many columns: a tile of `linear`.
constexpr int64_t kHiddenColumns = 64;

inline int64_t ceil_div(int64_t count, int64_t of) { return (count + of - 1) / of; }
// How many rows go through some kernels together, a multiple of `multiple`: what they hand on should stay in the cache.
inline int64_t rows_together(const mmkg_gpu &gpu, int64_t row_bytes, int64_t multiple) {
    return std::max<int64_t>(gpu.facts.l2_bytes / 2 / row_bytes / multiple, 1) * multiple;
}
inline int64_t padded_to(int64_t count, int64_t multiple) { return ceil_div(count, multiple) * multiple; }

// on_gpu() of the GPU that a handle was opened on.
template <class Handle, class Work>
mmkg_status on_gpu_of(const Handle *handle, const char *otherwise, Work work) noexcept {
    if (!handle) return guarded([&] { throw BadArgument(otherwise); });
    return on_gpu(&handle->gpu, work);
}

struct LayerWidths {
    // Throws if no kernel is wide enough.
    LayerWidths(int64_t width, int64_t heads, int64_t feedforward_width);

    Axis columns() const { return Axis::whole(width, padded); }
    Axis groups() const { return {width, padded, width / heads, groups_per_head * kGroup}; }
    Axis hidden() const { return Axis::whole(feedforward_width, padded_hidden); }
    std::string named(const char *kernel) const { return std::string(kernel) + "_" + std::to_string(padded); }

    const int64_t width, heads, feedforward_width;
    const int64_t groups_per_head;
    const int64_t padded;  // columns of a vector, and of all groups
    const int64_t padded_hidden;
};

// A kernel whose tiles have few rows, so that they spread over the GPU, and one with many, which reads the weights less
// often.
struct ByRows {
    ByRows(mmkg_gpu &gpu, const std::string &name);

    // The second, once there are enough of its tiles for every multiprocessor.
    const Kernel &of(int64_t rows, int64_t tiles_a_row = 1) const;

    const Kernel &few, &many;

private:
    const int64_t multiprocessors_;
};

}  // namespace mmkg::cuda
