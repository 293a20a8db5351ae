// A Tucker core on a GPU, and launches of triton/tucker.py.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "cuda/launch/weights.h"
#include "mmkg_tucker.h"

namespace mmkg::cuda {

struct TuckerTile {
    int64_t rows;
    int64_t batch;  // up to which it is taken
};

}  // namespace mmkg::cuda

struct mmkg_gpu_tucker {
    mmkg_gpu_tucker(mmkg_gpu &gpu, const void *core, int32_t precision, const void *relation_weight,
                    const float *shift, int64_t width);

    void apply(mmkg::cuda::Address context, mmkg::cuda::Address relation, int64_t batch, mmkg::cuda::Address out,
               mmkg::cuda::Stream stream) const;

    mmkg_gpu &gpu;
    const int64_t width;

private:
    std::unique_ptr<mmkg::cuda::DeviceMemory> copy(const void *matrices, int64_t num_matrices, const char *name) const;

    const int64_t padded_, number_bytes_;
    const int32_t precision_;
    const int64_t chunks_, rows_per_split_, splits_;
    std::vector<mmkg::cuda::TuckerTile> tiles_;
    std::vector<const mmkg::cuda::Kernel *> partials_;
    const mmkg::cuda::Kernel &sum_;
    std::unique_ptr<mmkg::cuda::DeviceMemory> core_, relation_weight_, shift_memory_;
    mmkg::cuda::Address shift_ = 0;
};
