// The graphs of a bundle that no kernel stands in for.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "mmkg/options.hpp"
#include "opened.hpp"
#include "session.hpp"

namespace mmkg::internal {

// Each is opened when it is first run: on ONNX Runtime, or as an engine where Options::tensorrt says so. Safe to call from
// several threads.
class Graphs {
public:
    // opened: must stay.
    Graphs(const Opened &opened, int threads, Options options);

    // Outputs of a graph, finite.
    //
    //   outputs   what is wanted, with the shapes that it must have
    //
    // Throws Error (backend): see open_session and open_engine; the graph failed, or gave something else.
    GraphOutputs run(const std::string &graph, const Tensors &inputs,
                     const std::map<std::string, std::vector<int64_t>> &outputs) const;

private:
    const Session &session(const std::string &graph) const;
    std::unique_ptr<const Session> on_cpu(const std::string &graph) const;

    const Opened &opened_;
    const int threads_;
    const Options options_;
    mutable std::mutex mutex_;
    mutable std::map<std::string, std::unique_ptr<const Session>> sessions_;
};

// What a vector holds, as an input of a graph; it must stay.
template <class Number>
Tensor graph_input(Dtype dtype, std::vector<int64_t> shape, const Number *numbers) {
    return {dtype, std::move(shape), reinterpret_cast<const char *>(numbers)};
}

}  // namespace mmkg::internal
