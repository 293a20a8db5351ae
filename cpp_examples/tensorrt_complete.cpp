// Labels in, labels out on an NVIDIA GPU: the graph complete.onnx of a bundle as an engine of TensorRT 10 or 11.
//
// NEVER RUN: no GPU was at hand. It was compiled with the headers of TensorRT 10.14. CMake builds it only where the SDK
// is found.
//
//   mmkg-sdk build-engine BUNDLE        on the GPU that it is for; prints where the engine of each graph lies
//   tensorrt_complete BUNDLE ENGINE HEAD RELATION
//
// Prints the best tails of (HEAD, RELATION, ?) as lines "score<TAB>label". complete.onnx gives the 100 best of all
// entities, with those that the data already know. An engine is code: open none but your own.
#include <array>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <NvInferRuntime.h>
#include <cuda_runtime_api.h>

#include "mmkg/bundle.hpp"

namespace {

constexpr int64_t NUM_BEST = 100;

class Logger : public nvinfer1::ILogger {
    void log(Severity severity, const char *message) noexcept override {
        if (severity <= Severity::kWARNING) std::cerr << message << '\n';
    }
};

void check(bool good, const char *step) {
    if (!good) throw std::runtime_error(std::string("TensorRT failed to ") + step + "; it says why above.");
}

void check(cudaError_t status) {
    if (status != cudaSuccess) throw std::runtime_error(cudaGetErrorString(status));
}

std::vector<char> content_of(const std::string &path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw std::runtime_error(path + " cannot be read; mmkg-sdk build-engine says where engines lie.");
    return {std::istreambuf_iterator<char>(file), {}};
}

// Memory of the GPU.
struct Free {
    void operator()(void *memory) const noexcept { cudaFree(memory); }
};
using OnGpu = std::unique_ptr<void, Free>;

OnGpu on_gpu(size_t bytes) {
    void *memory = nullptr;
    check(cudaMalloc(&memory, bytes));
    return OnGpu(memory);
}

void run(const std::string &folder, const std::string &engine_file, const std::string &head,
         const std::string &relation) {
    const mmkg::Bundle bundle(folder);
    const mmkg::Labels entities = bundle.entities();
    const std::array<std::pair<const char *, int64_t>, 3> query{
        {{"entity", entities.id_of(head)}, {"relation", bundle.relations().id_of(relation)}, {"direction", 0}}};

    Logger logger;
    const std::vector<char> plan = content_of(engine_file);
    const std::unique_ptr<nvinfer1::IRuntime> runtime(nvinfer1::createInferRuntime(logger));
    check(runtime != nullptr, "start");
    const std::unique_ptr<nvinfer1::ICudaEngine> engine(runtime->deserializeCudaEngine(plan.data(), plan.size()));
    check(engine != nullptr, "open the engine");
    const std::unique_ptr<nvinfer1::IExecutionContext> context(engine->createExecutionContext());
    check(context != nullptr, "make a context");

    std::vector<OnGpu> inputs;
    for (const auto &[name, id] : query) {
        inputs.push_back(on_gpu(sizeof id));
        check(cudaMemcpy(inputs.back().get(), &id, sizeof id, cudaMemcpyHostToDevice));
        check(context->setInputShape(name, nvinfer1::Dims{1, {1}}), "take a shape");
        check(context->setTensorAddress(name, inputs.back().get()), "take an input");
    }
    const int64_t count = context->getTensorShape("ids").d[1];  // fewer than 100 entities give fewer answers
    check(count >= 1 && count <= NUM_BEST, "say how many answers there are");
    std::vector<int64_t> ids(static_cast<size_t>(count));
    std::vector<float> scores(static_cast<size_t>(count));
    const OnGpu ids_there = on_gpu(ids.size() * sizeof ids[0]), scores_there = on_gpu(scores.size() * sizeof scores[0]);
    check(context->setTensorAddress("ids", ids_there.get()), "take an output");
    check(context->setTensorAddress("scores", scores_there.get()), "take an output");

    cudaStream_t stream = nullptr;
    check(cudaStreamCreate(&stream));
    check(context->enqueueV3(stream), "run the engine");
    check(cudaStreamSynchronize(stream));
    check(cudaMemcpy(ids.data(), ids_there.get(), ids.size() * sizeof ids[0], cudaMemcpyDeviceToHost));
    check(cudaMemcpy(scores.data(), scores_there.get(), scores.size() * sizeof scores[0], cudaMemcpyDeviceToHost));
    check(cudaStreamDestroy(stream));
    for (size_t i = 0; i < ids.size(); ++i) std::cout << scores[i] << '\t' << entities[ids[i]] << '\n';
}

}  // namespace

int main(int argc, char **argv) {
    if (argc != 5) {
        std::cerr << "usage: tensorrt_complete BUNDLE ENGINE HEAD RELATION\n";
        return EXIT_FAILURE;
    }
    try {
        run(argv[1], argv[2], argv[3], argv[4]);
    } catch (const std::exception &error) {
        std::cerr << "tensorrt_complete: " << error.what() << '\n';
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
