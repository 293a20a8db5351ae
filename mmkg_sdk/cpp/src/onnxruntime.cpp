#include "onnxruntime.hpp"

#include "mmkg/error.hpp"

#if defined(MMKG_ONNXRUNTIME)

#include <dlfcn.h>
#include <onnxruntime_c_api.h>

#include <algorithm>
#include <mutex>

namespace mmkg::internal {
namespace {

// Of the interface; the number of the first release that has it is 1.18. A later header only adds to it.
constexpr uint32_t INTERFACE = 18;
constexpr const char *LIBRARY = "libonnxruntime.so.1";

struct Runtime {
    const OrtApi *api = nullptr;
    OrtEnv *environment = nullptr;  // stays to the end of the process, as the library does

    // Throws what a status means.
    void check(OrtStatus *status, const std::string &what) const {
        if (status == nullptr) return;
        const std::string message = api->GetErrorMessage(status);
        api->ReleaseStatus(status);
        throw Error(Fault::backend, what + ": " + message);
    }
};

template <class Handle>
using Owned = std::unique_ptr<Handle, void (*)(Handle *)>;

Runtime open_runtime(const std::string &library) {
    const std::string place = library.empty() ? LIBRARY : library;
    void *const handle = ::dlopen(place.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) {
        const char *why = ::dlerror();
        throw Error(Fault::backend, "ONNX Runtime, which this graph needs, cannot be opened (" +
                                        std::string(why == nullptr ? place : why) +
                                        "). Say where libonnxruntime lies: Options::onnxruntime.");
    }
    using Base = const OrtApiBase *(*)();
    const auto base = reinterpret_cast<Base>(::dlsym(handle, "OrtGetApiBase"));
    if (base == nullptr) {
        throw Error(Fault::backend, place + " has no function OrtGetApiBase; expected a libonnxruntime.");
    }
    Runtime runtime;
    runtime.api = base()->GetApi(INTERFACE);
    if (runtime.api == nullptr) {
        throw Error(Fault::backend, place + " is ONNX Runtime " + base()->GetVersionString() + "; expected 1." +
                                        std::to_string(INTERFACE) + " or newer.");
    }
    runtime.check(runtime.api->CreateEnv(ORT_LOGGING_LEVEL_ERROR, "mmkg", &runtime.environment), place);
    return runtime;
}

// One of each library for the whole process.
const Runtime &runtime_of(const std::string &library) {
    static std::mutex mutex;
    static auto &opened = *new std::map<std::string, Runtime>;  // threads may outlive what ends with the process
    const std::lock_guard<std::mutex> lock(mutex);
    const auto found = opened.find(library);
    return found != opened.end() ? found->second : opened.emplace(library, open_runtime(library)).first->second;
}

ONNXTensorElementDataType element_of(Dtype dtype) {
    switch (dtype) {
        case Dtype::boolean: return ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL;
        case Dtype::int64: return ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64;
        case Dtype::float32: return ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
        default: return ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;  // no graph is fed with others
    }
}

class OnnxSession : public Session {
public:
    explicit OnnxSession(const SessionParts &parts)
        : runtime_(runtime_of(parts.library)),
          graph_(parts.graph + ".onnx"),
          memory_(nullptr, api().ReleaseMemoryInfo),
          session_(nullptr, api().ReleaseSession) {
        OrtMemoryInfo *memory = nullptr;
        check(api().CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory));
        memory_.reset(memory);
        OrtSessionOptions *made = nullptr;
        check(api().CreateSessionOptions(&made));
        const Owned<OrtSessionOptions> options(made, api().ReleaseSessionOptions);
        configure(options.get(), parts);
        OrtSession *session = nullptr;
        check(api().CreateSessionFromArray(runtime_.environment, parts.model.data(), parts.model.size(), options.get(),
                                           &session));
        session_.reset(session);
    }

    GraphOutputs run(const Tensors &inputs, const std::vector<std::string> &outputs) const override {
        std::vector<Owned<OrtValue>> given, made;
        std::vector<const OrtValue *> given_values;
        std::vector<const char *> input_names, output_names;
        for (const auto &[name, tensor] : inputs) {
            OrtValue *value = nullptr;
            // Inputs are read only, which the interface has no word for.
            check(api().CreateTensorWithDataAsOrtValue(memory_.get(), const_cast<char *>(tensor.data), tensor.bytes(),
                                                       tensor.shape.data(), tensor.shape.size(),
                                                       element_of(tensor.dtype), &value));
            given.emplace_back(value, api().ReleaseValue);
            given_values.push_back(value), input_names.push_back(name.c_str());
        }
        for (const std::string &name : outputs) output_names.push_back(name.c_str());
        std::vector<OrtValue *> values(outputs.size(), nullptr);
        OrtStatus *const status = api().Run(session_.get(), nullptr, input_names.data(), given_values.data(),
                                            given_values.size(), output_names.data(), outputs.size(), values.data());
        for (OrtValue *value : values) made.emplace_back(value, api().ReleaseValue);
        check(status);
        GraphOutputs found;
        for (size_t i = 0; i < outputs.size(); ++i) found[outputs[i]] = copied(outputs[i], values[i]);
        return found;
    }

private:
    const OrtApi &api() const noexcept { return *runtime_.api; }
    void check(OrtStatus *status) const { runtime_.check(status, graph_ + " on ONNX Runtime"); }

    void configure(OrtSessionOptions *options, const SessionParts &parts) const {
        // Spinning threads would take the cores from the ranking that follows each run.
        check(api().AddSessionConfigEntry(options, "session.intra_op.allow_spinning", "0"));
        // Products of int8 graphs in float32, as in Python: without VNNI those of whole numbers cut off what does not fit.
        check(api().AddSessionConfigEntry(options, "session.disable_quant_qdq", "1"));
        check(api().SetSessionLogSeverityLevel(options, ORT_LOGGING_LEVEL_ERROR));
        check(api().SetIntraOpNumThreads(options, parts.threads));
        std::vector<const char *> names;
        std::vector<char *> contents;
        std::vector<size_t> sizes;
        for (const auto &[name, content] : parts.weights) {
            names.push_back(name.c_str());
            contents.push_back(const_cast<char *>(content.data()));  // read only
            sizes.push_back(content.size());
        }
        if (names.empty()) return;
        check(api().AddExternalInitializersFromFilesInMemory(options, names.data(), contents.data(), sizes.data(),
                                                             names.size()));
    }

    GraphOutput copied(const std::string &name, OrtValue *value) const {
        OrtTensorTypeAndShapeInfo *made = nullptr;
        check(api().GetTensorTypeAndShape(value, &made));
        const Owned<OrtTensorTypeAndShapeInfo> info(made, api().ReleaseTensorTypeAndShapeInfo);
        ONNXTensorElementDataType element = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
        check(api().GetTensorElementType(info.get(), &element));
        if (element != ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT) {
            throw Error(Fault::backend, graph_ + " gave no float32 as '" + name + "'. Export the bundle again.");
        }
        size_t axes = 0, count = 0;
        check(api().GetDimensionsCount(info.get(), &axes));
        check(api().GetTensorShapeElementCount(info.get(), &count));
        GraphOutput output{std::vector<int64_t>(axes), {}};
        check(api().GetDimensions(info.get(), output.shape.data(), axes));
        void *numbers = nullptr;
        check(api().GetTensorMutableData(value, &numbers));
        const auto *first = static_cast<const float *>(numbers);
        output.numbers.assign(first, first + count);
        return output;
    }

    const Runtime &runtime_;
    const std::string graph_;
    Owned<OrtMemoryInfo> memory_;
    Owned<OrtSession> session_;
};

}  // namespace

std::unique_ptr<const Session> open_session(const SessionParts &parts) {
    return std::make_unique<const OnnxSession>(parts);
}

}  // namespace mmkg::internal

#else

namespace mmkg::internal {

std::unique_ptr<const Session> open_session(const SessionParts &parts) {
    throw Error(Fault::backend, parts.graph +
                                    ".onnx needs ONNX Runtime, and this library was built without it. Build mmkg with "
                                    "-DMMKG_ONNXRUNTIME=ON (docs/cpp.md), or use Python.");
}

}  // namespace mmkg::internal

#endif
