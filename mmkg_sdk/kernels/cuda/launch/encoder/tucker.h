// A Tucker core on a GPU, and launches of triton/encoder/tucker.py.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "cuda/launch/encoder/weights.h"
#include "mmkg_tucker.h"

struct mmkg_gpu_tucker {
    mmkg_gpu_tucker(mmkg_gpu &gpu, const void *core, int32_t precision, const void *relation_weight,
                    const float *shift, int64_t width);

    void apply(mmkg::cuda::Address context, mmkg::cuda::Address relation, int64_t batch, mmkg::cuda::Address out,
               mmkg::cuda::Stream stream) const;

    struct Partials {
        const mmkg::cuda::Kernel *kernel;
        int64_t most;  // rows of a batch that it is taken for
    };

    mmkg_gpu &gpu;
    const int64_t width;

private:
    std::unique_ptr<mmkg::cuda::DeviceMemory> copy(const void *matrices, int64_t num_matrices, const char *name) const;

    const int64_t padded_, number_bytes_;
    const int32_t precision_;
    const std::vector<Partials> partials_;
    const mmkg::cuda::Kernel &sum_;
    const int64_t chunks_, rows_per_split_, splits_;
    std::unique_ptr<mmkg::cuda::DeviceMemory> core_, relation_weight_, shift_memory_;
    mmkg::cuda::Address shift_ = 0;
};
