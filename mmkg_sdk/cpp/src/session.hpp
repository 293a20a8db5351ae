// A graph that is ready to run, whatever runs it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "safetensors.hpp"

namespace mmkg::internal {

struct GraphOutput {
    std::vector<int64_t> shape;
    std::vector<float> numbers;
};

using GraphOutputs = std::map<std::string, GraphOutput>;

// Safe to call from several threads.
class Session {
public:
    virtual ~Session() = default;

    // Some outputs, which are float32.
    //
    // Throws Error (backend): the graph failed, or has none of this name and kind.
    virtual GraphOutputs run(const Tensors &inputs, const std::vector<std::string> &outputs) const = 0;
};

}  // namespace mmkg::internal
