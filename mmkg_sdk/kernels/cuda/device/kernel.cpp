#include "cuda/device/kernel.h"

#include <algorithm>
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

// Parameters of a launch, one after the other, and where each lies.
struct Packed {
    void put(uint64_t bits) {
        values[count] = bits;
        places[count] = &values[count];
        ++count;
    }

    void put(const Api &api, const Entry &entry, const Parameter &parameter, const Argument &argument) {
        const bool is_tensor = argument.kind == Argument::Kind::Tensor;
        const auto expect = [&](bool fits, const char *otherwise) {
            if (!fits) refuse(entry, parameter.argument, otherwise);
        };
        switch (parameter.kind) {
            case Kind::Integer:
                expect(argument.kind == Argument::Kind::Integer, "should be an integer");
                return put(integer(entry, parameter, argument.integer));
            case Kind::Float: {
                expect(argument.kind == Argument::Kind::Number, "should be a float32");
                uint32_t bits;
                std::memcpy(&bits, &argument.number, sizeof bits);
                return put(bits);
            }
            case Kind::Address:
            case Kind::TensorAddress:
                expect(is_tensor || (argument.kind == Argument::Kind::Address && parameter.kind == Kind::Address),
                       "should be an address or a tensor");
                expect(argument.address % 16 == 0, "lies at no multiple of 16 bytes");
                return put(argument.address);
            case Kind::TensorMap:
                expect(is_tensor && argument.tensor.extents.size() == parameter.rank &&
                           argument.tensor.strides.size() == parameter.rank,
                       "should be a tensor with as many axes as its tensor map");
                expect(num_maps < kMaxTensorMaps, "is a tensor too many");
                encode(api, parameter, argument.tensor, maps[num_maps]);
                places[count++] = &maps[num_maps++];
                return;
            case Kind::Extent:
            case Kind::Stride: {
                const Tensor &tensor = argument.tensor;
                const auto &numbers = parameter.kind == Kind::Extent ? tensor.extents : tensor.strides;
                expect(is_tensor && parameter.axis < numbers.size(), "should be a tensor of more axes");
                return put(integer(entry, parameter, numbers[parameter.axis]));
            }
            case Kind::Zero:
                return put(uint64_t(0));
        }
    }

    static uint64_t integer(const Entry &entry, const Parameter &parameter, int64_t number) {
        if (parameter.bytes == 4 && (number < INT32_MIN || number > INT32_MAX))
            refuse(entry, parameter.argument, "does not fit 32 bits");
        return static_cast<uint64_t>(number);  // little-endian: the first bytes are those of the smaller type
    }

    int count = 0, num_maps = 0;
    uint64_t values[kMaxParameters] = {};
    TensorMap maps[kMaxTensorMaps];
    void *places[kMaxParameters];
};

}  // namespace

Arguments &Arguments::address(Address value) {
    list.push_back({Argument::Kind::Address, value, 0, 0, {}});
    return *this;
}

Arguments &Arguments::integer(int64_t value) {
    list.push_back({Argument::Kind::Integer, 0, value, 0, {}});
    return *this;
}

Arguments &Arguments::number(float value) {
    list.push_back({Argument::Kind::Number, 0, 0, value, {}});
    return *this;
}

Arguments &Arguments::tensor(const Tensor &value) {
    list.push_back({Argument::Kind::Tensor, value.address, 0, 0, value});
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
        int blocks = 0;
        check(api.occupancy(&blocks, function, static_cast<int>(entry.threads), entry.shared_bytes),
              ("ask how many blocks of CUDA kernel " + entry.name + " fit a multiprocessor").c_str());
        resident = std::max(blocks, 1);
    } catch (...) {
        api.module_unload(module);
        throw;
    }
}

int64_t Kernel::constant(const char *name) const {
    for (const Constant &constant : entry.constants)
        if (std::strcmp(constant.name, name) == 0) return constant.value;
    throw BadArgument("CUDA kernel " + entry.name + " has no constant " + name);
}

void Kernel::launch(Grid grid, const Arguments &arguments, Stream stream) const {
    require(grid.x >= 1 && grid.x <= kMaxGridX && grid.y >= 1 && grid.y <= kMaxGridYZ && grid.z >= 1 &&
                grid.z <= kMaxGridYZ,
            "a grid is empty or too large for a GPU");
    const auto &given = arguments.list;
    Packed packed;
    uint32_t used = 0;
    for (const Parameter &parameter : entry.parameters) {
        if (parameter.kind == Kind::Zero) {
            packed.put(uint64_t(0));
            continue;
        }
        if (parameter.argument >= given.size()) refuse(entry, parameter.argument, "is missing");
        used = parameter.argument + 1;
        packed.put(api, entry, parameter, given[parameter.argument]);
    }
    if (used != given.size()) refuse(entry, used, "is one too many");
    check(api.launch(function, static_cast<unsigned>(grid.x), static_cast<unsigned>(grid.y),
                     static_cast<unsigned>(grid.z), entry.threads, 1, 1, entry.shared_bytes, stream, packed.places,
                     nullptr),
          ("launch CUDA kernel " + entry.name).c_str());
}

}  // namespace mmkg::cuda
