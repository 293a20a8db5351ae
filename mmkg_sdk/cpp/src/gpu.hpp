// An NVIDIA GPU on which MyGO and AdaMF-MAT answer, by the CUDA kernels. NOT RUN ON A GPU YET: see mmkg_cuda.h.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "kernels.hpp"
#include "mmkg/options.hpp"
#include "mmkg_cuda_encoder.h"
#include "mmkg_cuda_scan.h"
#include "query_vectors.hpp"
#include "segments.hpp"

namespace mmkg::internal {

using GpuScan = std::unique_ptr<mmkg_gpu_scan, Close<mmkg_gpu_scan, mmkg_gpu_scan_close>>;
using GpuContext = std::unique_ptr<mmkg_gpu_query_context, Close<mmkg_gpu_query_context, mmkg_gpu_query_context_close>>;
using GpuTucker = std::unique_ptr<mmkg_gpu_tucker, Close<mmkg_gpu_tucker, mmkg_gpu_tucker_close>>;
using GpuRotation = std::unique_ptr<mmkg_gpu_rotation, Close<mmkg_gpu_rotation, mmkg_gpu_rotation_close>>;

// The address of an argument in memory of the host.
template <class Number>
uint64_t on_host(const std::vector<Number> &numbers) {
    return reinterpret_cast<uintptr_t>(numbers.data());
}

// A GPU that is open.
class Gpu {
public:
    // options: device "cuda" or "cuda:N", and the image.
    //
    // Throws Error (query): another device; (backend): no driver, no GPU, or no kernels for it.
    explicit Gpu(const Options &options);

    mmkg_gpu *handle() const noexcept { return handle_.get(); }

private:
    std::string image_;
    std::unique_ptr<mmkg_gpu, Close<mmkg_gpu, mmkg_gpu_close>> handle_;
};

// Nothing where the device is the CPU.
std::unique_ptr<const Gpu> open_gpu(const Options &options);

// A table on a GPU and what makes queries of its rows. Safe to call from several threads, each on a stream of its own.
class GpuTable {
public:
    // vectors: float32 [rows, width], copied. gpu: must stay.
    GpuTable(const Gpu &gpu, std::shared_ptr<const GpuQueries> queries, const float *vectors, int64_t rows,
             const Scoring &scoring);
    ~GpuTable();

    // As best_rows, of the vectors of some queries, at most QUERY_CHUNK.
    //
    // Throws Error (backend): a vector or a score is not finite, or the GPU failed.
    TopK best(const Columns &asked, int64_t k, const RowLists *excluded, const std::vector<int64_t> *candidates) const;

    // float32 [batch, width], on the host.
    std::vector<float> query_vectors(const Columns &asked) const;

private:
    struct Lane;
    // Of the vectors in a lane; k: at most MMKG_MAX_GPU_K.
    TopK best_at_once(size_t batch, int64_t k, const RowLists *excluded, const std::vector<int64_t> *candidates,
                      const Lane &lane) const;
    std::unique_ptr<Lane> taken() const;
    void given_back(std::unique_ptr<Lane> lane) const;
    void make_vectors(const Columns &asked, const Lane &lane) const;

    const Gpu &gpu_;
    const int64_t rows_, width_;
    const std::shared_ptr<const GpuQueries> queries_;
    GpuScan scan_;
    mutable std::mutex mutex_;
    mutable std::vector<std::unique_ptr<Lane>> idle_;
};

}  // namespace mmkg::internal
