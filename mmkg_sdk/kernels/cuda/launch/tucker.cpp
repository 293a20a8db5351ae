#include "cuda/launch/tucker.h"

#include <algorithm>
#include <cstring>

#include "common/finite.h"
#include "cuda/launch/layer.h"
#include "mmkg_cuda_encoder.h"

using mmkg::require;
using namespace mmkg::cuda;

namespace {

constexpr int64_t kPadding = 64;  // widths are padded to a multiple, which COLUMNS and DEPTH of the kernels divide
// So many splits at least: with tiles of 64 columns a core of width 256 keeps 128 blocks reading.
constexpr int64_t kMinSplits = 32;

constexpr const char *kNames[] = {"fp32", "bf16", "fp16"};  // by mmkg_precision

// Kernels by the size of a batch: tiles have few rows while reading the core is the bound.
std::vector<mmkg_gpu_tucker::Partials> partials(mmkg_gpu &gpu, int32_t precision) {
    const std::string name = std::string("tucker_partials_") + kNames[precision] + "_";
    std::vector<mmkg_gpu_tucker::Partials> found{{&gpu.kernel(name + "few"), 16}, {&gpu.kernel(name + "more"), 256}};
    if (precision == MMKG_BF16) found.push_back({&gpu.kernel(name + "many"), 0});
    found.back().most = INT64_MAX;
    return found;
}

}  // namespace

mmkg_gpu_tucker::mmkg_gpu_tucker(mmkg_gpu &gpu_, const void *core, int32_t precision, const void *relation_weight,
                                 const float *shift, int64_t width_)
    : gpu(gpu_),
      width(width_),
      padded_(padded_to(width, kPadding)),
      number_bytes_(precision == MMKG_FP32 ? 4 : 2),
      precision_(precision),
      partials_(partials(gpu, precision)),
      sum_(gpu.kernel("tucker_sum")),
      chunks_(padded_ / partials_[0].kernel->constant("DEPTH")),
      rows_per_split_(ceil_div(width, ceil_div(kMinSplits, chunks_))),
      splits_(ceil_div(width, rows_per_split_) * chunks_) {
    core_ = copy(core, width, "core");
    relation_weight_ = copy(relation_weight, 1, "relation_weight");
    mmkg::require_finite(shift, width, MMKG_FP32, "shift");
    Weights weights;
    weights.add(shift_, shift, Axis::whole(width, width), "shift");
    shift_memory_ = weights.upload(gpu);
}

// [num_matrices, width, width] to [num_matrices, padded, padded], one matrix at a time.
std::unique_ptr<DeviceMemory> mmkg_gpu_tucker::copy(const void *matrices, int64_t num_matrices,
                                                    const char *name) const {
    const int64_t bytes = width * width * number_bytes_, padded_bytes = padded_ * padded_ * number_bytes_;
    const int64_t row = width * number_bytes_, padded_row = padded_ * number_bytes_;
    auto memory = std::make_unique<DeviceMemory>(gpu, num_matrices * padded_bytes);
    std::vector<char> padded(static_cast<size_t>(padded_bytes));
    for (int64_t i = 0; i < num_matrices; ++i) {
        const char *from = static_cast<const char *>(matrices) + i * bytes;
        const int64_t wrong = mmkg::first_not_finite(from, width * width, precision_);
        if (wrong != width * width)
            throw mmkg::BadArgument(std::string(name) + " holds NaN or infinity at " +
                                    std::to_string(i * width * width + wrong));
        for (int64_t j = 0; j < width; ++j)
            std::memcpy(padded.data() + j * padded_row, from + j * row, static_cast<size_t>(row));
        memory->write(i * padded_bytes, padded.data(), padded_bytes);
    }
    return memory;
}

void mmkg_gpu_tucker::apply(Address context, Address relation, int64_t batch, Address out, Stream stream) const {
    size_t chosen = 0;  // by the whole batch, so that all of its rows are multiplied alike
    while (batch > partials_[chosen].most) ++chosen;
    const Kernel &kernel = *partials_[chosen].kernel;
    const int64_t rows = kernel.constant("ROWS"), row_bytes = splits_ * padded_ * kFloatBytes;
    const int64_t together = std::min(batch, rows_together(gpu, row_bytes, rows));
    Workspace workspace(gpu, Workspace::rounded(together * row_bytes), stream);
    const Address partials = workspace.take(together * row_bytes);
    for (int64_t first = 0; first < batch; first += together) {
        const int64_t count = std::min(together, batch - first);
        const Address offset = static_cast<Address>(first * width * kFloatBytes);
        kernel.launch({ceil_div(count, rows), padded_ / kernel.constant("COLUMNS"), splits_},
                      Arguments()
                          .address(context + offset)
                          .address(relation + offset)
                          .address(core_->address)
                          .address(relation_weight_->address)
                          .address(partials)
                          .integer(count)
                          .integer(width)
                          .integer(chunks_)
                          .integer(rows_per_split_),
                      stream);
        sum_.launch({count, ceil_div(width, sum_.constant("COLUMNS"))},
                    Arguments()
                        .address(partials)
                        .address(shift_)
                        .address(out + offset)
                        .integer(count)
                        .integer(width)
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
    return on_gpu_of(tucker, "tucker is NULL", [&] {
        require(batch >= 0 && batch <= INT32_MAX, "batch is negative or above 2^31 - 1");
        require((context && relation && out) || batch == 0, "context, relation or out is NULL");
        if (batch) tucker->apply(context, relation, batch, out, stream_of(stream));
    });
}
