// mmkg_gpu_tucker_...: the core padded and on the GPU, and launches of triton/tucker.py.
#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "common/finite.h"
#include "cuda/launch/layer.h"
#include "cuda/launch/weights.h"

using mmkg::require;
using namespace mmkg::cuda;

namespace {

constexpr int64_t kColumns = 64;    // COLUMNS of the kernel, a multiple of every DEPTH
constexpr int64_t kMinSplits = 32;  // MIN_SPLITS
constexpr int64_t kSumColumns = 128;
constexpr int64_t kPartialBytes = 32 << 20;  // of the splits of rows that are launched together: they stay in the cache

constexpr const char *kNames[] = {"fp32", "bf16", "fp16"};  // by mmkg_precision

struct Tile {
    int64_t rows;
    int64_t batch;  // up to which it is taken
};

// Rows of a tile: few while reading the core is the bound.
std::vector<Tile> tiles(int32_t precision) {
    if (precision == MMKG_BF16) return {{16, 16}, {64, 256}, {128, INT64_MAX}};
    return {{16, 16}, {64, INT64_MAX}};
}

}  // namespace

struct mmkg_gpu_tucker {
    mmkg_gpu_tucker(mmkg_gpu &gpu, const void *core, int32_t precision, const void *relation_weight,
                    const float *shift, int64_t width);

    void apply(Address context, Address relation, int64_t batch, Address out, Stream stream) const;

    mmkg_gpu &gpu;

private:
    std::unique_ptr<DeviceMemory> copy(const void *matrices, int64_t num_matrices, const char *name) const;

    const int64_t width_, padded_, number_bytes_;
    const int32_t precision_;
    const int64_t chunks_, rows_per_split_, splits_;
    std::vector<Tile> tiles_;
    std::vector<const Kernel *> partials_;
    const Kernel &sum_;
    std::unique_ptr<DeviceMemory> core_, relation_weight_, shift_memory_;
    Address shift_ = 0;
};

mmkg_gpu_tucker::mmkg_gpu_tucker(mmkg_gpu &gpu_, const void *core, int32_t precision, const void *relation_weight,
                                 const float *shift, int64_t width)
    : gpu(gpu_),
      width_(width),
      padded_(padded_to(width, kColumns)),
      number_bytes_(precision == MMKG_FP32 ? 4 : 2),
      precision_(precision),
      chunks_(padded_ / (precision == MMKG_BF16 ? 64 : 32)),  // DEPTHS
      rows_per_split_(ceil_div(width, ceil_div(kMinSplits, chunks_))),
      splits_(ceil_div(width, rows_per_split_) * chunks_),
      tiles_(tiles(precision)),
      sum_(gpu.kernel("tucker_sum")) {
    for (const Tile &tile : tiles_) {
        const std::string rows = std::to_string(tile.rows);
        partials_.push_back(&gpu.kernel(std::string("tucker_partials_") + kNames[precision] + "_" + rows));
    }
    core_ = copy(core, width, "core");
    relation_weight_ = copy(relation_weight, 1, "relation_weight");
    mmkg::require_finite(shift, width, MMKG_FP32, "shift");
    Weights weights;
    weights.add(shift_, shift, Axis::whole(width, width), "shift");
    shift_memory_ = weights.upload(gpu);
}

// [num_matrices, width, width] to [num_matrices, padded, padded], one matrix at a time. The last rows of a single one
// are not needed, but cost nothing.
std::unique_ptr<DeviceMemory> mmkg_gpu_tucker::copy(const void *matrices, int64_t num_matrices,
                                                    const char *name) const {
    const int64_t bytes = width_ * width_ * number_bytes_, padded_bytes = padded_ * padded_ * number_bytes_;
    const int64_t row = width_ * number_bytes_, padded_row = padded_ * number_bytes_;
    auto memory = std::make_unique<DeviceMemory>(gpu, num_matrices * padded_bytes);
    std::vector<char> padded(static_cast<size_t>(padded_bytes));
    for (int64_t i = 0; i < num_matrices; ++i) {
        const char *from = static_cast<const char *>(matrices) + i * bytes;
        const int64_t wrong = mmkg::first_not_finite(from, width_ * width_, precision_);
        if (wrong != width_ * width_)
            throw mmkg::BadArgument(std::string(name) + " holds NaN or infinity at " +
                                    std::to_string(i * width_ * width_ + wrong));
        for (int64_t j = 0; j < width_; ++j)
            std::memcpy(padded.data() + j * padded_row, from + j * row, static_cast<size_t>(row));
        memory->write(i * padded_bytes, padded.data(), padded_bytes);
    }
    return memory;
}

void mmkg_gpu_tucker::apply(Address context, Address relation, int64_t batch, Address out, Stream stream) const {
    size_t chosen = 0;  // by the whole batch, so that all of its rows are multiplied alike
    while (batch > tiles_[chosen].batch) ++chosen;
    const int64_t rows = tiles_[chosen].rows, row_bytes = splits_ * padded_ * kFloatBytes;
    const int64_t together = std::min(batch, std::max(kPartialBytes / row_bytes / rows, int64_t(1)) * rows);
    Workspace workspace(gpu, Workspace::rounded(together * row_bytes), stream);
    const Address partials = workspace.take(together * row_bytes);
    for (int64_t first = 0; first < batch; first += together) {
        const int64_t count = std::min(together, batch - first);
        const Address offset = static_cast<Address>(first * width_ * kFloatBytes);
        partials_[chosen]->launch({ceil_div(count, rows), padded_ / kColumns, splits_},
                                  Arguments()
                                      .address(context + offset)
                                      .address(relation + offset)
                                      .address(core_->address)
                                      .address(relation_weight_->address)
                                      .address(partials)
                                      .integer(count)
                                      .integer(width_)
                                      .integer(chunks_)
                                      .integer(rows_per_split_),
                                  stream);
        sum_.launch({count, ceil_div(width_, kSumColumns)},
                    Arguments()
                        .address(partials)
                        .address(shift_)
                        .address(out + offset)
                        .integer(count)
                        .integer(width_)
                        .integer(padded_)
                        .integer(splits_),
                    stream);
    }
}

mmkg_status mmkg_gpu_tucker_open(mmkg_gpu *gpu, const void *core, int32_t precision, const void *relation_weight,
                                 const float *shift, int64_t width, mmkg_gpu_tucker **tucker) {
    return on_gpu(gpu, [&] {
        require(tucker, "tucker is NULL");
        require(core && relation_weight && shift, "core, relation_weight or shift is NULL");
        require(precision >= MMKG_FP32 && precision <= MMKG_FP16, "precision is none of mmkg_precision");
        require(width >= 1 && width <= MMKG_MAX_TUCKER_WIDTH, "width is not from 1 to 2^14");
        *tucker = new mmkg_gpu_tucker(*gpu, core, precision, relation_weight, shift, width);
    });
}

void mmkg_gpu_tucker_close(mmkg_gpu_tucker *tucker) { delete tucker; }

mmkg_status mmkg_gpu_tucker_apply(const mmkg_gpu_tucker *tucker, uint64_t context, uint64_t relation, int64_t batch,
                                  uint64_t out, uint64_t stream) {
    return on_gpu(tucker ? &tucker->gpu : nullptr, [&] {
        require(batch >= 0 && batch <= INT32_MAX, "batch is negative or above 2^31 - 1");
        require((context && relation && out) || batch == 0, "context, relation or out is NULL");
        if (batch) tucker->apply(context, relation, batch, out, stream_of(stream));
    });
}
