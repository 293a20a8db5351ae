#include "graphs.hpp"

#include <algorithm>
#include <cmath>

#include "onnx_file.hpp"
#include "onnxruntime.hpp"
#include "tensorrt.hpp"

namespace mmkg::internal {

Graphs::Graphs(const Opened &opened, int threads, Options options)
    : opened_(opened), threads_(threads), options_(std::move(options)) {}

const Session &Graphs::session(const std::string &graph) const {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::unique_ptr<const Session> &session = sessions_[graph];
    if (session == nullptr) session = options_.tensorrt.empty() ? on_cpu(graph) : open_engine(opened_, graph, options_);
    return *session;
}

std::unique_ptr<const Session> Graphs::on_cpu(const std::string &graph) const {
    if (opened_.manifest.precision == "bf16") {
        throw Error(Fault::backend,
                    graph + ".onnx is in bf16, and ONNX Runtime has no bf16 matrix product on the CPU. Use Python with "
                            "torch, or export with --precision fp32.");
    }
    const std::string_view model = opened_.files.at(graph + ".onnx").view();
    SessionParts parts{graph, model, {}, threads_, options_.onnxruntime};
    for (const std::string &file : weight_files(graph + ".onnx", model, opened_.files)) {
        parts.weights[file] = opened_.files.at(file).view();
    }
    return open_session(parts);
}

GraphOutputs Graphs::run(const std::string &graph, const Tensors &inputs,
                         const std::map<std::string, std::vector<int64_t>> &outputs) const {
    std::vector<std::string> names;
    for (const auto &[name, shape] : outputs) names.push_back(name);
    GraphOutputs found = session(graph).run(inputs, names);
    for (const auto &[name, shape] : outputs) {
        const GraphOutput &output = found.at(name);
        if (output.shape != shape) {
            throw Error(Fault::backend, graph + " gave " + Tensor{Dtype::float32, output.shape, nullptr}.described() +
                                            " as '" + name + "', expected " +
                                            Tensor{Dtype::float32, shape, nullptr}.described() +
                                            ". Export the bundle again.");
        }
        if (!std::all_of(output.numbers.begin(), output.numbers.end(), [](float x) { return std::isfinite(x); })) {
            throw Error(Fault::backend, graph + " in " + opened_.manifest.precision +
                                            " gave NaN or infinity. Export again with --precision fp32.");
        }
    }
    return found;
}

}  // namespace mmkg::internal
