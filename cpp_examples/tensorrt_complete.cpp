// Labels in, labels out on an NVIDIA GPU: complete.onnx of a bundle as an engine of TensorRT 10 or 11.
//
// NEVER COMPILED AND NEVER RUN: neither the SDK nor a GPU was at hand. It is written from TensorRT's documented C++
// interface. CMake builds it only where the SDK is found.
//
//   tensorrt_complete BUNDLE HEAD RELATION
//
// Builds an engine, which takes a while, and prints the best tails of (HEAD, RELATION, ?) as lines "score<TAB>label".
// complete.onnx gives the 100 best of all entities, with those that the data already know. TensorRT reads the graph and
// its weights from the folder itself, after mmkg::Bundle has verified it: let nobody write there in between.
#include <array>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <NvInfer.h>
#include <NvOnnxParser.h>
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

std::unique_ptr<nvinfer1::IHostMemory> build(Logger &logger, const std::string &graph) {
    const std::unique_ptr<nvinfer1::IBuilder> builder(nvinfer1::createInferBuilder(logger));
    check(builder != nullptr, "open a builder");
    // TensorRT 10 is told that types are those of the graph; 11 knows nothing else.
    const auto strongly_typed =
        1U << static_cast<uint32_t>(nvinfer1::NetworkDefinitionCreationFlag::kSTRONGLY_TYPED);
    const std::unique_ptr<nvinfer1::INetworkDefinition> network(builder->createNetworkV2(strongly_typed));
    const std::unique_ptr<nvonnxparser::IParser> parser(nvonnxparser::createParser(*network, logger));
    check(parser->parseFromFile(graph.c_str(), static_cast<int>(nvinfer1::ILogger::Severity::kWARNING)),
          "parse complete.onnx");

    const std::unique_ptr<nvinfer1::IBuilderConfig> config(builder->createBuilderConfig());
    config->clearFlag(nvinfer1::BuilderFlag::kTF32);  // which is on, and is less than float32
    nvinfer1::IOptimizationProfile *profile = builder->createOptimizationProfile();
    for (int i = 0; i < network->getNbInputs(); ++i) {
        for (const auto which : {nvinfer1::OptProfileSelector::kMIN, nvinfer1::OptProfileSelector::kOPT,
                                 nvinfer1::OptProfileSelector::kMAX}) {
            check(profile->setDimensions(network->getInput(i)->getName(), which, nvinfer1::Dims{1, {1}}), "set a shape");
        }
    }
    check(config->addOptimizationProfile(profile) >= 0, "add a profile");
    std::unique_ptr<nvinfer1::IHostMemory> plan(builder->buildSerializedNetwork(*network, *config));
    check(plan != nullptr, "build the engine");
    return plan;
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

void run(const std::string &folder, const std::string &head, const std::string &relation) {
    const mmkg::Bundle bundle(folder);
    const mmkg::Labels entities = bundle.entities();
    const std::array<std::pair<const char *, int64_t>, 3> query{
        {{"entity", entities.id_of(head)}, {"relation", bundle.relations().id_of(relation)}, {"direction", 0}}};

    Logger logger;
    const std::unique_ptr<nvinfer1::IHostMemory> plan = build(logger, folder + "/complete.onnx");
    const std::unique_ptr<nvinfer1::IRuntime> runtime(nvinfer1::createInferRuntime(logger));
    const std::unique_ptr<nvinfer1::ICudaEngine> engine(runtime->deserializeCudaEngine(plan->data(), plan->size()));
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
    if (argc != 4) {
        std::cerr << "usage: tensorrt_complete BUNDLE HEAD RELATION\n";
        return EXIT_FAILURE;
    }
    try {
        run(argv[1], argv[2], argv[3]);
    } catch (const std::exception &error) {
        std::cerr << "tensorrt_complete: " << error.what() << '\n';
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
