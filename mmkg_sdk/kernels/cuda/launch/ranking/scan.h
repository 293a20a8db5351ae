// A table on a GPU, and what top-k and ranks of its rows share. scan.md says how the kernels work together.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "cuda/device/gpu.h"
#include "mmkg_cuda_scan.h"

namespace mmkg::cuda {

constexpr int64_t kTileRows = 128, kTileBins = 8, kBinRows = 16, kTileWords = 4, kGroupBins = 32, kChunk = 16;
enum Certificate : int32_t { Uncertain = 0, Certain = MMKG_CERTAIN, NotANumberFound = 2 };

constexpr int64_t divided(int64_t a, int64_t b) { return (a + b - 1) / b; }

// A first pass over the table in bfloat16, in its shapes for few, more and many queries at a time.
class FirstPass {
public:
    // `name`: "scan_bins" or "scan_ranks".
    FirstPass(mmkg_gpu &gpu, const char *name, int64_t padded);

    struct Shape {
        const Kernel *kernel;
        int64_t queries;  // of a block
        bool wide;        // takes any width, in chunks
    };
    const Shape &shape(int64_t batch) const;

private:
    std::array<Shape, 3> shapes;
};

// How tiles are shared by blocks: the answer does not depend on it.
struct Parts {
    Parts(const mmkg_gpu &gpu, const Kernel &kernel, int64_t batch, int64_t queries, int64_t tiles);
    int64_t query_tiles, count, tiles_each;
};

}  // namespace mmkg::cuda

struct mmkg_gpu_scan {
    mmkg_gpu_scan(mmkg_gpu &gpu, const float *table, int64_t rows, int64_t width, mmkg_score score, float margin);

    mmkg_gpu &gpu;
    const bool distance;  // else inner products
    const float margin;
    const int64_t rows, width, chunks;
    const int64_t row_numbers;  // of a row of queries and of the table in float32: of inner products whole chunks
    const int64_t padded, tiles;
    const mmkg::cuda::Memory table32, table16;
    float table_size = 0, table_rest = 0;  // rounding.py: E and R

    // Distances have none, and no table16: their exact pass (triton/ranking/distance.py) is the only one.
    const std::optional<mmkg::cuda::FirstPass> bins, ranks;
    // Every kernel is loaded when the table is opened, since loading does not suit a capture.
    const mmkg::cuda::Kernel &round_queries, &group_maxima, &select_best, &select_grouped, &settle_rows;
    const std::array<const mmkg::cuda::Kernel *, 3> finish_top_k;  // for k up to 16, 128 and 1,024
    const mmkg::cuda::Kernel &exact_bins, &exact_counts, &pair_scores, &list_marked, &settle_marked, &finish_ranks;
    const mmkg::cuda::Kernel &distance_known;
    const int64_t exact_queries;  // of a block of exact_bins and exact_counts

    // What the exact kernels take to know the width, and the score of distances.
    mmkg::cuda::Arguments &add_score(mmkg::cuda::Arguments &arguments) const;

    // The table in bfloat16, for a tensor map or as an address.
    mmkg::cuda::Tensor rounded_table() const;

    // Queries in bfloat16 and their slack: bytes that it takes, and the kernel.
    struct Rounded {
        mmkg::cuda::Address queries, slack;
    };
    int64_t rounded_bytes(int64_t batch) const;
    Rounded round(mmkg::cuda::Address queries, int64_t batch, mmkg::cuda::Workspace &work,
                  mmkg::cuda::Stream stream) const;

private:
    // Queries of a batch, rounded up to what the blocks of its first pass take.
    int64_t whole_blocks(int64_t batch) const;
    std::optional<mmkg::cuda::FirstPass> first_pass(const char *name) const;
    void fill(const float *table);
    void round();  // the table, to bfloat16
};
