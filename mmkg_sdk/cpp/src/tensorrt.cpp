#include "tensorrt.hpp"

#include "mmkg/error.hpp"

#if defined(MMKG_TENSORRT)

#include <NvInferRuntime.h>
#include <dlfcn.h>

#include <algorithm>
#include <mutex>
#include <nlohmann/json.hpp>

#include "engines.hpp"
#include "gpu.hpp"
#include "json.hpp"
#include "text.hpp"

namespace mmkg::internal {
namespace {

// Keeps what TensorRT says of errors until somebody asks.
class Words : public nvinfer1::ILogger {
public:
    void log(Severity severity, const char *message) noexcept override {
        if (severity > Severity::kERROR) return;
        const std::lock_guard<std::mutex> lock(mutex_);
        said_.assign(message);
    }
    std::string take() {
        const std::lock_guard<std::mutex> lock(mutex_);
        return std::exchange(said_, "it does not say why");
    }

private:
    std::mutex mutex_;
    std::string said_ = "it does not say why";
};

struct Library {
    std::string version;
    nvinfer1::IRuntime *runtime = nullptr;  // stays to the end of the process, as the library does
};

Words &words() {
    static auto &all = *new Words;  // TensorRT has one logger for a process
    return all;
}

template <class Function>
Function function_of(void *handle, const std::string &library, const char *name) {
    const auto found = reinterpret_cast<Function>(::dlsym(handle, name));
    if (found == nullptr) {
        throw Error(Fault::backend, library + " has no function " + name + "; expected a libnvinfer.");
    }
    return found;
}

Library open_library(const std::string &library) {
    void *const handle = ::dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) {
        const char *why = ::dlerror();
        throw Error(Fault::backend, "TensorRT cannot be opened (" + std::string(why == nullptr ? library : why) +
                                        "). Say where libnvinfer lies: Options::tensorrt.");
    }
    int32_t numbers[4];
    const char *names[] = {"getInferLibMajorVersion", "getInferLibMinorVersion", "getInferLibPatchVersion",
                           "getInferLibBuildVersion"};
    std::string version;
    for (int i = 0; i < 4; ++i) {
        numbers[i] = function_of<int32_t (*)()>(handle, library, names[i])();
        version += (i == 0 ? "" : ".") + std::to_string(numbers[i]);
    }
    // Within a major version a later library runs what was compiled with earlier headers.
    if (numbers[0] != NV_TENSORRT_MAJOR || numbers[1] < NV_TENSORRT_MINOR) {
        throw Error(Fault::backend, library + " is TensorRT " + version + "; this library was built for " +
                                        std::to_string(NV_TENSORRT_MAJOR) + "." + std::to_string(NV_TENSORRT_MINOR) +
                                        " or a later " + std::to_string(NV_TENSORRT_MAJOR) + ".x.");
    }
    const auto create = function_of<void *(*)(void *, int32_t)>(handle, library, "createInferRuntime_INTERNAL");
    nvinfer1::ILogger *const logger = &words();
    auto *const runtime = static_cast<nvinfer1::IRuntime *>(create(logger, NV_TENSORRT_VERSION));
    if (runtime == nullptr) throw Error(Fault::backend, "TensorRT does not start: " + words().take() + ".");
    return {version, runtime};
}

// One of each library for the whole process.
const Library &library_of(const std::string &library) {
    static std::mutex mutex;
    static auto &opened = *new std::map<std::string, Library>;
    const std::lock_guard<std::mutex> lock(mutex);
    const auto found = opened.find(library);
    return found != opened.end() ? found->second : opened.emplace(library, open_library(library)).first->second;
}

// The GPU's context is the thread's as long as this lives: TensorRT works in it.
class Entered {
public:
    explicit Entered(mmkg_gpu *gpu) : gpu_(gpu) { check(mmkg_gpu_enter(gpu), "the GPU"); }
    ~Entered() { mmkg_gpu_leave(gpu_); }
    Entered(const Entered &) = delete;
    Entered &operator=(const Entered &) = delete;

private:
    mmkg_gpu *gpu_;
};

class Stream {
public:
    explicit Stream(mmkg_gpu *gpu) : gpu_(gpu) { check(mmkg_gpu_stream_open(gpu, &handle_), "a stream"); }
    ~Stream() { mmkg_gpu_stream_close(gpu_, handle_); }
    Stream(const Stream &) = delete;
    Stream &operator=(const Stream &) = delete;

    uint64_t handle() const noexcept { return handle_; }
    cudaStream_t cuda() const noexcept { return reinterpret_cast<cudaStream_t>(static_cast<uintptr_t>(handle_)); }

private:
    mmkg_gpu *gpu_;
    uint64_t handle_ = 0;
};

class Memory {
public:
    Memory(mmkg_gpu *gpu, size_t bytes) : gpu_(gpu) {
        // An address is asked for of empty tensors as well.
        const auto room = static_cast<int64_t>(std::max<size_t>(bytes, 1));
        check(mmkg_gpu_allocate(gpu, room, &address_), "memory of the GPU");
    }
    Memory(Memory &&other) noexcept : gpu_(other.gpu_), address_(std::exchange(other.address_, 0)) {}
    ~Memory() {
        if (address_ != 0) mmkg_gpu_free(gpu_, address_);  // waits for work on it
    }
    Memory &operator=(Memory &&) = delete;

    uint64_t address() const noexcept { return address_; }
    void *pointer() const noexcept { return reinterpret_cast<void *>(static_cast<uintptr_t>(address_)); }

private:
    mmkg_gpu *gpu_;
    uint64_t address_ = 0;
};

nvinfer1::Dims dims_of(const std::vector<int64_t> &shape) {
    nvinfer1::Dims dims{static_cast<int32_t>(shape.size()), {}};
    std::copy(shape.begin(), shape.end(), dims.d);
    return dims;
}

nvinfer1::DataType type_of(Dtype dtype) {
    switch (dtype) {
        case Dtype::boolean: return nvinfer1::DataType::kBOOL;
        case Dtype::int64: return nvinfer1::DataType::kINT64;
        default: return nvinfer1::DataType::kFLOAT;  // no graph is fed with others
    }
}

Options with_gpu(Options options) {
    if (options.device == "cpu") options.device = "cuda";
    return options;
}

class EngineSession : public Session {
public:
    EngineSession(const Opened &opened, const std::string &graph, const Options &options)
        : graph_(graph),
          signature_(plain_json(opened.manifest.signatures.at(graph))),
          gpu_(with_gpu(options)),
          stream_(gpu_.handle()) {
        const Entered entered(gpu_.handle());
        const Library &library = library_of(options.tensorrt);
        mmkg_gpu_facts facts{};
        check(mmkg_gpu_describe(gpu_.handle(), &facts), "the GPU");
        const std::string content = graph_content(opened, graph);
        Engine found = fitting_engine(options.engines, {graph, content, library.version, facts.major, facts.minor});
        profiles_ = std::move(found.profiles);
        engine_.reset(library.runtime->deserializeCudaEngine(found.plan.data(), found.plan.size()));
        require(engine_ != nullptr, "does not open the engine");
        context_.reset(engine_->createExecutionContext());
        require(context_ != nullptr, "makes no context");
    }
    ~EngineSession() override {
        mmkg_gpu_enter(gpu_.handle());
        context_.reset(), engine_.reset();
        mmkg_gpu_leave(gpu_.handle());
    }
    EngineSession(const EngineSession &) = delete;
    EngineSession &operator=(const EngineSession &) = delete;

    // Calls run one after the other: a context serves one of them at a time.
    GraphOutputs run(const Tensors &inputs, const std::vector<std::string> &outputs) const override {
        const std::lock_guard<std::mutex> lock(mutex_);
        const Entered entered(gpu_.handle());
        require(context_->setOptimizationProfileAsync(profile_of(inputs), stream_.cuda()), "takes no profile");
        std::vector<Memory> memory;
        for (const auto &[name, tensor] : inputs) put(name, tensor, memory);
        std::map<std::string, const Memory *> made;
        memory.reserve(memory.size() + static_cast<size_t>(engine_->getNbIOTensors()));  // addresses stay
        for (int32_t i = 0; i < engine_->getNbIOTensors(); ++i) {
            const char *const name = engine_->getIOTensorName(i);
            if (engine_->getTensorIOMode(name) == nvinfer1::TensorIOMode::kOUTPUT) made[name] = &room_of(name, memory);
        }
        require(context_->enqueueV3(stream_.cuda()), "does not run");
        GraphOutputs found;
        for (const std::string &name : outputs) {
            GraphOutput &output = found[name] = {shape_of(name), {}};
            output.numbers.resize(static_cast<size_t>(Tensor{Dtype::float32, output.shape, nullptr}.count()));
            check(mmkg_gpu_copy_to_host(gpu_.handle(), output.numbers.data(), made.at(name)->address(),
                                        static_cast<int64_t>(output.numbers.size() * sizeof(float)), stream_.handle()),
                  graph_.c_str());
        }
        check(mmkg_gpu_stream_synchronize(gpu_.handle(), stream_.handle()), graph_.c_str());
        return found;
    }

private:
    void require(bool done, const char *what) const {
        if (!done) throw Error(Fault::backend, graph_ + ": TensorRT " + what + ": " + words().take() + ".");
    }

    void put(const std::string &name, const Tensor &tensor, std::vector<Memory> &memory) const {
        const bool known = engine_->getTensorIOMode(name.c_str()) == nvinfer1::TensorIOMode::kINPUT;
        require(known && engine_->getTensorDataType(name.c_str()) == type_of(tensor.dtype), "has another input");
        const Memory &there = memory.emplace_back(gpu_.handle(), tensor.bytes());
        check(mmkg_gpu_copy_to_device(gpu_.handle(), there.address(), tensor.data, static_cast<int64_t>(tensor.bytes()),
                                      stream_.handle()),
              graph_.c_str());
        require(context_->setInputShape(name.c_str(), dims_of(tensor.shape)), "refuses a shape");
        require(context_->setTensorAddress(name.c_str(), there.pointer()), "refuses an input");
    }

    const Memory &room_of(const std::string &name, std::vector<Memory> &memory) const {
        require(engine_->getTensorDataType(name.c_str()) == nvinfer1::DataType::kFLOAT, "gives no float32");
        const Tensor tensor{Dtype::float32, shape_of(name), nullptr};
        const Memory &there = memory.emplace_back(gpu_.handle(), tensor.bytes());
        require(context_->setTensorAddress(name.c_str(), there.pointer()), "refuses an output");
        return there;
    }

    std::vector<int64_t> shape_of(const std::string &name) const {
        const nvinfer1::Dims dims = context_->getTensorShape(name.c_str());
        bool known = dims.nbDims >= 0;
        for (int32_t i = 0; i < dims.nbDims; ++i) known = known && dims.d[i] >= 0;
        require(known, "does not say how large an output is");
        return {dims.d, dims.d + dims.nbDims};
    }

    // The profile that takes the sizes of the inputs' axes.
    int32_t profile_of(const Tensors &inputs) const {
        std::map<std::string, int64_t> sizes;
        for (const Json &input : signature_["inputs"]) {
            const auto given = inputs.find(input["name"].get<std::string>());
            if (given == inputs.end()) continue;  // the engine says what it misses
            for (size_t axis = 0; axis < std::min(input["shape"].size(), given->second.shape.size()); ++axis) {
                if (input["shape"][axis].is_string())
                    sizes[input["shape"][axis].get<std::string>()] = given->second.shape[axis];
            }
        }
        for (size_t i = 0; i < profiles_.size(); ++i) {
            const bool fits = std::all_of(sizes.begin(), sizes.end(), [&](const auto &size) {
                const auto range = profiles_[i].find(size.first);
                return range == profiles_[i].end() ||
                       (size.second >= range->second.least && size.second <= range->second.most);
            });
            if (fits) return static_cast<int32_t>(i);
        }
        std::string given;
        for (const auto &[axis, size] : sizes) given += (given.empty() ? "" : ", ") + axis + " " + grouped(size);
        throw Error(Fault::query, "the engine of " + graph_ + " has no profile for " + given +
                                      ". Build it with other sizes: mmkg-sdk build-engine --profile.");
    }

    const std::string graph_;
    const Json signature_;
    const Gpu gpu_;
    const Stream stream_;
    std::vector<EngineProfile> profiles_;
    std::unique_ptr<nvinfer1::ICudaEngine> engine_;
    std::unique_ptr<nvinfer1::IExecutionContext> context_;
    mutable std::mutex mutex_;
};

}  // namespace

std::unique_ptr<const Session> open_engine(const Opened &opened, const std::string &graph, const Options &options) {
    return std::make_unique<const EngineSession>(opened, graph, options);
}

}  // namespace mmkg::internal

#else

namespace mmkg::internal {

std::unique_ptr<const Session> open_engine(const Opened &, const std::string &graph, const Options &) {
    throw Error(Fault::backend, "Options::tensorrt is set, and this library was built without TensorRT, so " + graph +
                                    " has no engine. Build mmkg with -DMMKG_TENSORRT=ON (docs/cpp.md).");
}

}  // namespace mmkg::internal

#endif
