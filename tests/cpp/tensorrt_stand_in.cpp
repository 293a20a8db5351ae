// A libnvinfer that is none: TensorRT's headers with an "engine" behind them that runs on the host. plain.hpp, which the
// test makes of NvInferImpl.h, has every function of the three classes end the program.
//
// A plan is a text: "engine OUTPUT:WIDTH ... INPUT ...". Row i of an output [batch, WIDTH] is
// 1000 * (sum of row i of visual_features) + (sum of row i of text_features) + the column.
#include <dlfcn.h>

#include <cstdlib>
#include <iterator>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "plain.hpp"

namespace {

using namespace nvinfer1;

ILogger *words = nullptr;
constexpr int PROFILES = 2;

struct Plan {
    std::map<std::string, int64_t> outputs;
    std::vector<std::string> inputs;
};

float sum_of_row(const float *numbers, int64_t width, int64_t row) {
    float sum = 0;
    for (int64_t i = 0; i < width; ++i) sum += numbers[row * width + i];
    return sum;
}

// What was put on the stream before: copies of the inputs.
bool waited_for(cudaStream_t stream) {
    void *const driver = dlopen(std::getenv("MMKG_CUDA_DRIVER"), RTLD_NOW);
    return reinterpret_cast<int (*)(void *)>(dlsym(driver, "cuStreamSynchronize"))(stream) == 0;
}

struct ContextImpl : PlainExecutionContext {
    explicit ContextImpl(const Plan &from) : plan(from) {}
    bool setOptimizationProfileAsync(int32_t index, cudaStream_t) noexcept override {
        return (profile = index) >= 0 && index < PROFILES;
    }
    bool setInputShape(char const *name, Dims const &dims) noexcept override {
        shapes[name] = dims;
        return profile >= 0;
    }
    Dims getTensorShape(char const *name) const noexcept override {
        if (plan.outputs.count(name) == 0) return shapes.at(name);
        return {2, {shapes.at("visual_features").d[0], plan.outputs.at(name)}};
    }
    bool setTensorAddress(char const *name, void *data) noexcept override {
        addresses[name] = static_cast<float *>(data);
        return true;
    }
    bool enqueueV3(cudaStream_t stream) noexcept override {
        if (!waited_for(stream)) return false;
        for (const std::string &name : plan.inputs) {
            if (addresses.count(name) == 0) {
                words->log(ILogger::Severity::kERROR, ("input " + name + " is missing").c_str());
                return false;
            }
        }
        const Dims visual = shapes.at("visual_features"), text = shapes.at("text_features");
        for (int64_t row = 0; row < visual.d[0]; ++row) {
            const float sum = 1000 * sum_of_row(addresses["visual_features"], visual.d[1], row) +
                              sum_of_row(addresses["text_features"], text.d[1], row);
            for (const auto &[name, width] : plan.outputs)
                for (int64_t i = 0; i < width; ++i) addresses[name][row * width + i] = sum + static_cast<float>(i);
        }
        return true;
    }

    Plan plan;
    int profile = -1;
    std::map<std::string, Dims> shapes;
    std::map<std::string, float *> addresses;
};

struct Context : IExecutionContext {
    explicit Context(const Plan &plan) : impl(plan) { mImpl = &impl; }
    ContextImpl impl;
};

struct EngineImpl : PlainCudaEngine {
    IExecutionContext *createExecutionContext(ExecutionContextAllocationStrategy) noexcept override {
        return new Context(plan);
    }
    int32_t getNbIOTensors() const noexcept override {
        return static_cast<int32_t>(plan.inputs.size() + plan.outputs.size());
    }
    char const *getIOTensorName(int32_t index) const noexcept override {
        const auto place = static_cast<size_t>(index), inputs = plan.inputs.size();
        if (place < inputs) return plan.inputs[place].c_str();
        return std::next(plan.outputs.begin(), static_cast<std::ptrdiff_t>(place - inputs))->first.c_str();
    }
    TensorIOMode getTensorIOMode(char const *name) const noexcept override {
        if (plan.outputs.count(name) != 0) return TensorIOMode::kOUTPUT;
        for (const std::string &input : plan.inputs)
            if (input == name) return TensorIOMode::kINPUT;
        return TensorIOMode::kNONE;
    }
    DataType getTensorDataType(char const *name) const noexcept override {
        return std::string(name).find("mask") != std::string::npos ? DataType::kBOOL : DataType::kFLOAT;
    }
    Plan plan;
};

struct Engine : ICudaEngine {
    Engine() { mImpl = &impl; }
    EngineImpl impl;
};

struct RuntimeImpl : PlainRuntime {
    ICudaEngine *deserializeCudaEngine(void const *blob, std::size_t size) noexcept override {
        std::istringstream text(std::string(static_cast<const char *>(blob), size));
        std::string magic, tensor;
        auto *engine = new Engine;
        text >> magic;
        while (text >> tensor) {
            const size_t colon = tensor.find(':');
            if (colon == std::string::npos) {
                engine->impl.plan.inputs.push_back(tensor);
            } else {
                engine->impl.plan.outputs[tensor.substr(0, colon)] = std::stoll(tensor.substr(colon + 1));
            }
        }
        if (magic == "engine") return engine;
        words->log(ILogger::Severity::kERROR, "magicTag does not match");
        delete engine;
        return nullptr;
    }
};

struct Runtime : IRuntime {
    Runtime() { mImpl = &impl; }
    RuntimeImpl impl;
};

}  // namespace

#define SEEN extern "C" __attribute__((visibility("default")))

SEEN int32_t getInferLibMajorVersion() noexcept { return NV_TENSORRT_MAJOR; }
SEEN int32_t getInferLibMinorVersion() noexcept { return NV_TENSORRT_MINOR; }
SEEN int32_t getInferLibPatchVersion() noexcept { return NV_TENSORRT_PATCH; }
SEEN int32_t getInferLibBuildVersion() noexcept { return NV_TENSORRT_BUILD; }
SEEN void *createInferRuntime_INTERNAL(void *logger, int32_t version) noexcept {
    words = static_cast<ILogger *>(logger);
    const bool fails = std::getenv("STAND_IN_FAILS") != nullptr || version != NV_TENSORRT_VERSION;
    if (!fails) return static_cast<IRuntime *>(new Runtime);
    words->log(ILogger::Severity::kERROR, "CUDA initialization failure with error: 35");
    return nullptr;
}
