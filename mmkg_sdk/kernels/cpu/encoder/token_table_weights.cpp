// Opening a token-table encoder: weights are checked, and laid out as the kernels read them.
#include <algorithm>
#include <cstring>

#include "encoder/token_table.h"
#include "simd/bfloat.h"

namespace mmkg {

namespace {

// Where column `column` of [width] lies when every head has `head_columns`.
struct HeadColumns {
    int64_t head_width, head_columns;
    int64_t operator()(int64_t column) const {
        return column / head_width * head_columns + column % head_width;
    }
};

// Where a value of [rows, width] lies among slices.
struct Slices {
    HeadColumns by_head;
    int64_t rows;
    int64_t operator()(int64_t row, int64_t column) const {
        const int64_t within = column % by_head.head_width, from = within / kSliceColumns * kSliceColumns;
        const int64_t columns = std::min(kSliceColumns, by_head.head_columns - from);
        return (by_head(column) - within + from) * rows + row * columns + within - from;
    }
};

// A bias or a value in the padded columns; `addend` may be NULL.
template <class Place>
Aligned<float> spread(const float *values, const float *addend, int64_t count, int64_t padded, Place place,
                      const char *name) {
    require_finite(values, count, name);
    Aligned<float> out = zeros(rounded_up(padded, kColumnGroup));
    for (int64_t i = 0; i < count; ++i) out[place(i)] = addend ? values[i] + addend[i] : values[i];
    return out;
}

}  // namespace

}  // namespace mmkg

mmkg_token_table::mmkg_token_table(const mmkg_token_table_weights &w, int32_t storage, const mmkg::EncoderSet &set_,
                                   mmkg::Pool &pool)
    : set(set_),
      width(w.width),
      heads(w.heads),
      feedforward_width(w.feedforward_width),
      visual_rows(w.visual_rows),
      text_rows(w.text_rows),
      pool_(pool),
      storage_(storage),
      epsilon_(w.norm_epsilon),
      head_columns_(mmkg::rounded_up(w.width / w.heads, mmkg::kHeadGroup)),
      attended_(head_columns_ * w.heads),
      block_(mmkg::block_rows(2 * width + attended_, set_.tile_rows)) {
    using namespace mmkg;
    const int64_t rows = visual_rows + text_rows;
    const HeadColumns by_head{width / heads, head_columns_};
    const AsTheyAre same;

    structure_scale_ = copy(w.structure_norm_weight, width, "structure_norm_weight");
    require_finite(w.type_vector, width, "type_vector");
    structure_shift_ = spread(w.structure_norm_bias, w.type_vector, width, width, same, "structure_norm_bias");
    norm1_scale_ = copy(w.norm1_weight, width, "norm1_weight");
    norm1_shift_ = copy(w.norm1_bias, width, "norm1_bias");
    norm2_scale_ = copy(w.norm2_weight, width, "norm2_weight");
    norm2_shift_ = copy(w.norm2_bias, width, "norm2_bias");

    require_finite(w.logit_weight, width * heads, "logit_weight");
    logit_weight_ = zeros(width * heads);
    for (int64_t i = 0; i < width * heads; ++i) logit_weight_[i % heads * width + i / heads] = w.logit_weight[i];
    logits_ = copy(w.logits, rows * heads, "logits");
    pooled_logits_ = copy(w.pooled_logits, heads, "pooled_logits");
    pooled_value_ = spread(w.pooled_value, nullptr, width, attended_, by_head, "pooled_value");

    require_finite(w.values, rows * width, "values");
    if (storage == MMKG_FLOAT32) {
        values_ = zeros(rows * attended_);
    } else {
        rounded_values_ = Aligned<uint16_t>(rows * attended_);
        if (rows) std::memset(rounded_values_.data(), 0, static_cast<size_t>(rows * attended_) * sizeof(uint16_t));
    }
    const Slices by_slice{by_head, rows};
    for (int64_t row = 0; row < rows; ++row) {
        for (int64_t column = 0; column < width; ++column) {
            const float value = w.values[row * width + column];
            const int64_t place = by_slice(row, column);
            if (storage == MMKG_FLOAT32) {
                values_[place] = value;
            } else {
                rounded_values_[place] = to_bfloat(value);
            }
        }
    }

    const int panel = set.panel;
    value_ = pack(w.value_weight, width, width, width, attended_, same, by_head, panel, "value_weight");
    value_.bias = spread(w.value_bias, nullptr, width, attended_, by_head, "value_bias");
    output_ = pack(w.output_weight, width, width, attended_, width, by_head, same, panel, "output_weight");
    require_finite(w.pooled, width, "pooled");
    output_.bias = spread(w.output_bias, w.pooled, width, width, same, "output_bias");  // the residual is constant
    hidden_ = pack(w.hidden_weight, width, feedforward_width, width, feedforward_width, same, same, panel,
                   "hidden_weight");
    hidden_.bias = copy(w.hidden_bias, feedforward_width, "hidden_bias");
    feedforward_ = pack(w.feedforward_weight, feedforward_width, width, feedforward_width, width, same, same, panel,
                        "feedforward_weight");
    feedforward_.bias = copy(w.feedforward_bias, width, "feedforward_bias");
}
