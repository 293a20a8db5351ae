// What a transformer layer does behind its attention, which both encoders of MyGO name alike.
#pragma once

#include <string>

#include "weights.hpp"

namespace mmkg::internal {

inline constexpr const char *LAYER_REST[] = {"rest.output.multiplied_weight",
                                             "rest.output.bias",
                                             "rest.norm1.weight",
                                             "rest.norm1.bias",
                                             "rest.hidden.multiplied_weight",
                                             "rest.hidden.bias",
                                             "rest.feedforward.multiplied_weight",
                                             "rest.feedforward.bias",
                                             "rest.norm2.weight",
                                             "rest.norm2.bias"};

// The fields of mmkg_query_layer or mmkg_token_table_weights for them.
template <class Described>
void add_layer_rest(Weights &weights, const std::string &prefix, int64_t width, int64_t hidden, Described &described) {
    const auto get = [&](size_t i, const std::vector<int64_t> &shape) {
        return weights.float32(prefix + LAYER_REST[i], shape);
    };
    described.output_weight = get(0, {width, width}), described.output_bias = get(1, {width});
    described.norm1_weight = get(2, {width}), described.norm1_bias = get(3, {width});
    described.hidden_weight = get(4, {width, hidden}), described.hidden_bias = get(5, {hidden});
    described.feedforward_weight = get(6, {hidden, width}), described.feedforward_bias = get(7, {width});
    described.norm2_weight = get(8, {width}), described.norm2_bias = get(9, {width});
}

}  // namespace mmkg::internal
