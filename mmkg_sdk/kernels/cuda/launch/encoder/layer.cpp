#include "cuda/launch/encoder/layer.h"

#include <algorithm>

namespace mmkg::cuda {

namespace {

constexpr int64_t kPadded[] = {128, 256, 512};  // PADDED_WIDTHS of triton/encoder/layer.py

int64_t padded_width(int64_t width, int64_t heads, int64_t groups_per_head) {
    const int64_t needed = std::max(width, heads * groups_per_head * kGroup);
    for (const int64_t padded : kPadded) {
        if (padded >= needed) return padded;
    }
    throw BadArgument("weights: width " + std::to_string(width) + " with " + std::to_string(heads) + " heads takes " +
                      std::to_string(needed) + " columns on a GPU, whose kernels go to 512");
}

}  // namespace

LayerWidths::LayerWidths(int64_t width_, int64_t heads_, int64_t feedforward_width_)
    : width(width_),
      heads(heads_),
      feedforward_width(feedforward_width_),
      groups_per_head(ceil_div(width / heads, kGroup)),
      padded(padded_width(width, heads, groups_per_head)),
      padded_hidden(padded_to(feedforward_width, kHiddenColumns)) {}

ByRows::ByRows(mmkg_gpu &gpu, const std::string &name)
    : few(gpu.kernel(name + "_few")),
      many(gpu.kernel(name + "_many")),
      multiprocessors_(gpu.facts.multiprocessors) {}

const Kernel &ByRows::of(int64_t rows, int64_t tiles_a_row) const {
    return ceil_div(rows, many.constant("ROWS")) * tiles_a_row >= multiprocessors_ ? many : few;
}

}  // namespace mmkg::cuda
