#include "cuda/device/kernel.h"

#include <cstring>
#include <limits>
#include <string>

#include "common/status.h"
#include "cuda/driver/driver.h"

namespace mmkg::cuda {

namespace {

constexpr int64_t kMaxGridX = std::numeric_limits<int32_t>::max(), kMaxGridYZ = 65535;
constexpr int kMaxTensorMaps = 4;

// Bytes of an element, by CUtensorMapDataType.
int64_t element_bytes(uint32_t map_type) {
    constexpr int bytes[] = {1, 2, 4, 4, 8, 8, 2, 4, 8, 2, 4, 4, 4};
    require(map_type < sizeof bytes / sizeof bytes[0], "a tensor map has elements of no known type");
    return bytes[map_type];
}

[[noreturn]] void refuse(const Entry &entry, uint32_t argument, const char *why) {
    throw BadArgument("argument " + std::to_string(argument) + " of CUDA kernel " + entry.name + " " + why);
}

void encode(const Api &api, const Parameter &parameter, const Tensor &tensor, TensorMap &map) {
    uint64_t extents[kMaxMapRank] = {}, strides[kMaxMapRank] = {};
    uint32_t box[kMaxMapRank] = {}, steps[kMaxMapRank] = {};
    const auto bytes = element_bytes(parameter.map_type);
    for (uint32_t axis = 0; axis < parameter.rank; ++axis) {  // innermost first here, outermost first in Tensor
        const uint32_t from = parameter.rank - 1 - axis;
        extents[axis] = static_cast<uint64_t>(tensor.extents[from]);
        if (axis > 0) strides[axis - 1] = static_cast<uint64_t>(tensor.strides[from] * bytes);
        box[axis] = parameter.box[axis];
        steps[axis] = 1;
    }
    check(api.encode_tensor_map(&map, static_cast<int>(parameter.map_type), parameter.rank,
                                reinterpret_cast<void *>(static_cast<uintptr_t>(tensor.address)), extents, strides,
                                box, steps, 0, static_cast<int>(parameter.swizzle), kPromoteTo128Bytes, 0),
          "describe a tensor to the GPU");
}

}  // namespace

Arguments &Arguments::address(Address value) {
    list.push_back({Kind::Address, value, 0, 0, {}});
    return *this;
}

Arguments &Arguments::integer(int64_t value) {
    list.push_back({Kind::Integer, 0, value, 0, {}});
    return *this;
}

Arguments &Arguments::number(float value) {
    list.push_back({Kind::Number, 0, 0, value, {}});
    return *this;
}

Arguments &Arguments::tensor(const Tensor &value) {
    list.push_back({Kind::Tensor, value.address, 0, 0, value});
    return *this;
}

Kernel::Kernel(const Api &api_, const Entry &entry_, int64_t shared_limit) : api(api_), entry(entry_) {
    entry.verify();
    if (entry.shared_bytes > shared_limit)
        throw DriverError("CUDA kernel " + entry.name + " takes " + std::to_string(entry.shared_bytes) +
                              " bytes of shared memory a block; this GPU has " + std::to_string(shared_limit),
                          false);
    check(api.module_load(&module, entry.code), ("load CUDA kernel " + entry.name).c_str());
    try {
        check(api.module_function(&function, module, entry.symbol.c_str()), ("find CUDA kernel " + entry.name).c_str());
        check(api.function_attribute(function, kDynamicSharedMemory, static_cast<int>(entry.shared_bytes)),
              ("give CUDA kernel " + entry.name + " its shared memory").c_str());
    } catch (...) {
        api.module_unload(module);
        throw;
    }
}

void Kernel::launch(Grid grid, const Arguments &arguments, Stream stream) const {
    require(grid.x >= 1 && grid.x <= kMaxGridX && grid.y >= 1 && grid.y <= kMaxGridYZ && grid.z >= 1 &&
                grid.z <= kMaxGridYZ,
            "a grid is empty or too large for a GPU");
    uint64_t values[kMaxParameters] = {};
    TensorMap maps[kMaxTensorMaps];
    void *parameters[kMaxParameters];
    int num_maps = 0;
    const auto &list = arguments.list;
    uint32_t used = 0;
    for (size_t place = 0; place < entry.parameters.size(); ++place) {
        const Parameter &parameter = entry.parameters[place];
        parameters[place] = &values[place];
        if (parameter.kind == cuda::Kind::Zero) continue;
        if (parameter.argument >= list.size()) refuse(entry, parameter.argument, "is missing");
        used = parameter.argument + 1;
        const Arguments::Argument &argument = list[parameter.argument];
        const auto expect = [&](Arguments::Kind kind, const char *otherwise) {
            if (argument.kind != kind) refuse(entry, parameter.argument, otherwise);
        };
        const auto put = [&](int64_t number) {
            if (parameter.bytes == 4 && (number < INT32_MIN || number > INT32_MAX))
                refuse(entry, parameter.argument, "does not fit 32 bits");
            std::memcpy(&values[place], &number, parameter.bytes);
        };
        switch (parameter.kind) {
            case cuda::Kind::Integer:
                expect(Arguments::Kind::Integer, "should be an integer");
                put(argument.integer);
                break;
            case cuda::Kind::Float:
                expect(Arguments::Kind::Number, "should be a float32");
                std::memcpy(&values[place], &argument.number, sizeof argument.number);
                break;
            case cuda::Kind::Address:
            case cuda::Kind::TensorAddress:
                expect(parameter.kind == cuda::Kind::Address ? Arguments::Kind::Address : Arguments::Kind::Tensor,
                       "should be an address or a tensor, and is the other");
                if (argument.address % 16 != 0) refuse(entry, parameter.argument, "lies at no multiple of 16 bytes");
                values[place] = argument.address;
                break;
            case cuda::Kind::TensorMap:
                expect(Arguments::Kind::Tensor, "should be a tensor");
                if (argument.tensor.extents.size() != parameter.rank || argument.tensor.strides.size() != parameter.rank)
                    refuse(entry, parameter.argument, "has another number of axes than its tensor map");
                require(num_maps < kMaxTensorMaps, "a kernel has too many tensor maps");
                encode(api, parameter, argument.tensor, maps[num_maps]);
                parameters[place] = &maps[num_maps++];
                break;
            case cuda::Kind::Extent:
            case cuda::Kind::Stride: {
                expect(Arguments::Kind::Tensor, "should be a tensor");
                const auto &numbers = parameter.kind == cuda::Kind::Extent ? argument.tensor.extents
                                                                           : argument.tensor.strides;
                if (parameter.axis >= numbers.size()) refuse(entry, parameter.argument, "has too few axes");
                put(numbers[parameter.axis]);
                break;
            }
            case cuda::Kind::Zero:
                break;
        }
    }
    if (used != list.size()) refuse(entry, used, "is one too many");
    check(api.launch(function, static_cast<unsigned>(grid.x), static_cast<unsigned>(grid.y),
                     static_cast<unsigned>(grid.z), entry.threads, 1, 1, entry.shared_bytes, stream, parameters,
                     nullptr),
          ("launch CUDA kernel " + entry.name).c_str());
}

}  // namespace mmkg::cuda
