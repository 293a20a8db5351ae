// Opening a query transformer: weights are checked, and laid out as the kernels read them.
#include <string>

#include "query/query_context.h"

namespace mmkg {

namespace {

// Tiles have as many rows, of questions and positions, as the products take at a time; no position begins within one.
constexpr int64_t kMostQuestions = 64;

int64_t block_questions(int64_t row_floats, int tile_rows) {
    const int64_t questions = block_rows(kPositions * row_floats, tile_rows);
    return questions < kMostQuestions ? questions : kMostQuestions / tile_rows * tile_rows;
}

QueryLayer packed_layer(const mmkg_query_layer &w, int64_t number, int64_t width, int64_t feedforward_width,
                        int panel) {
    const AsTheyAre same;
    const std::string layer = "layer " + std::to_string(number) + ": ";
    const auto matrix = [&](const float *weight, const float *bias, int64_t inner, int64_t columns, const char *name) {
        const std::string full = layer + name;
        PackedMatrix out =
            pack(weight, inner, columns, inner, columns, same, same, panel, (full + "_weight").c_str());
        out.bias = copy(bias, columns, (full + "_bias").c_str());
        return out;
    };
    QueryLayer out;
    const int64_t columns = rounded_up(width, kColumnGroup);
    out.projection.inner = width;
    out.projection.columns = 3 * columns;
    out.projection.panels = zeros(width * 3 * columns);
    out.projection.bias = zeros(3 * columns);
    const struct {
        const float *weight, *bias;
        const char *name;
    } parts[3] = {{w.query_weight, w.query_bias, "query"},
                  {w.key_weight, w.key_bias, "key"},
                  {w.value_weight, w.value_bias, "value"}};
    for (int64_t i = 0; i < 3; ++i) {
        const auto beside = [&](int64_t column) { return i * columns + column; };
        const std::string name = layer + parts[i].name;
        pack_into(out.projection, parts[i].weight, width, width, same, beside, panel, (name + "_weight").c_str());
        require_finite(parts[i].bias, width, (name + "_bias").c_str());
        float *const bias = out.projection.bias.data() + i * columns;
        std::memcpy(bias, parts[i].bias, static_cast<size_t>(width) * sizeof(float));
    }
    out.output = matrix(w.output_weight, w.output_bias, width, width, "output");
    out.hidden = matrix(w.hidden_weight, w.hidden_bias, width, feedforward_width, "hidden");
    out.feedforward = matrix(w.feedforward_weight, w.feedforward_bias, feedforward_width, width, "feedforward");
    out.norm1_scale = copy(w.norm1_weight, width, (layer + "norm1_weight").c_str());
    out.norm1_shift = copy(w.norm1_bias, width, (layer + "norm1_bias").c_str());
    out.norm2_scale = copy(w.norm2_weight, width, (layer + "norm2_weight").c_str());
    out.norm2_shift = copy(w.norm2_bias, width, (layer + "norm2_bias").c_str());
    return out;
}

}  // namespace

}  // namespace mmkg

mmkg_query_context::mmkg_query_context(const mmkg_query_weights &w, const mmkg::EncoderSet &set_, mmkg::Pool &pool)
    : set(set_),
      width(w.width),
      num_relations(w.num_relations),
      pool_(pool),
      heads_(w.heads),
      feedforward_width_(w.feedforward_width),
      columns_(mmkg::rounded_up(w.width, mmkg::kColumnGroup)),
      block_(mmkg::block_questions(5 * width + feedforward_width_, set_.tile_rows)),
      stride_(mmkg::stride_of(width)),
      projected_stride_(mmkg::stride_of(3 * columns_)),
      hidden_stride_(mmkg::stride_of(feedforward_width_)),
      epsilon_(w.norm_epsilon) {
    using namespace mmkg;
    known_slots_ = copy(w.known_slots, 2 * width, "known_slots");
    relations_ = copy(w.relations, num_relations * width, "relations");
    missing_slots_ = copy(w.missing_slots, 2 * width, "missing_slots");
    for (int64_t i = 0; i < w.num_layers; ++i) {
        layers_.push_back(packed_layer(w.layers[i], i, width, feedforward_width_, set.panel));
    }
}
