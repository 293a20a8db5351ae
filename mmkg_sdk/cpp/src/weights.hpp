// The weights of one graph as the kernels take them.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "safetensors.hpp"

namespace mmkg::internal {

// That of torch's LayerNorm, with which the families' norms are made; a weight file does not hold it.
inline constexpr float NORM_EPSILON = 1e-5F;

// Weights named GRAPH.WEIGHT by WEIGHT. What is not float32, or not aligned, is copied; addresses stay as long as this.
class Weights {
public:
    Weights(const Tensors &all, const std::string &graph);

    bool has(const std::string &name) const { return tensors_.count(name) != 0; }

    // Whether these are all the weights of the graph.
    //
    // Throws Error (backend): one is missing or unknown.
    void expect(const std::set<std::string> &names) const;

    // A tensor as it is stored.
    const Tensor &stored(const std::string &name) const;

    // The size of a matrix along one axis.
    //
    // Throws Error (backend): it has not two axes.
    int64_t axis(const std::string &name, size_t axis) const;

    // As float32, which holds each number of float16 and bfloat16; a vector may be stored as a row.
    //
    // Throws Error (backend): another shape, or numbers of another kind.
    const float *float32(const std::string &name, const std::vector<int64_t> &shape);

    // As it is stored, aligned.
    const void *aligned(const std::string &name);

private:
    std::map<std::string, Tensor> tensors_;
    std::deque<std::vector<float>> copies_;  // addresses of elements stay
};

}  // namespace mmkg::internal
