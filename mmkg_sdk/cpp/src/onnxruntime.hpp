// ONNX Runtime, through its C interface. Its headers are needed to compile this, its library only by who runs a graph:
// it is opened then.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "safetensors.hpp"

namespace mmkg::internal {

struct GraphOutput {
    std::vector<int64_t> shape;
    std::vector<float> numbers;
};

using GraphOutputs = std::map<std::string, GraphOutput>;

// A graph that is ready to run, on the CPU. Safe to call from several threads.
class Session {
public:
    virtual ~Session() = default;

    // Some outputs, which are float32.
    //
    // Throws Error (backend): the graph failed, or has none of this name and kind.
    virtual GraphOutputs run(const Tensors &inputs, const std::vector<std::string> &outputs) const = 0;
};

// What a session is made of.
struct SessionParts {
    std::string graph;  // its name, for messages
    std::string_view model;
    std::map<std::string, std::string_view> weights;  // the files that it reads from, in memory
    int threads = 1;
    std::string library;  // see Options::onnxruntime
};

// Throws Error (backend): this library was built without ONNX Runtime, there is none here or one that is too old, or it
// refuses the graph.
std::unique_ptr<const Session> open_session(const SessionParts &parts);

}  // namespace mmkg::internal
