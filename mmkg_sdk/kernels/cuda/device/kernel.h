// A kernel that is loaded, and what it is launched with.
#pragma once

#include <cstdint>
#include <vector>

#include "cuda/driver/api.h"
#include "cuda/image/image.h"

namespace mmkg::cuda {

// A tensor for a tensor descriptor: extents and strides in elements, outermost first; the last stride is 1.
struct Tensor {
    Address address;
    std::vector<int64_t> extents, strides;
};

struct Argument {
    enum class Kind { Address, Integer, Number, Tensor } kind;
    uint64_t address;
    int64_t integer;
    float number;
    Tensor tensor;
};

// The arguments of a Triton function, in the order of its source and without its constants. How each becomes parameters
// of the compiled kernel is what the image says of it: a tensor serves a kernel that wants its address only, too.
struct Arguments {
    Arguments &address(Address value);  // a multiple of 16
    Arguments &integer(int64_t value);
    Arguments &number(float value);
    Arguments &tensor(const Tensor &value);

    std::vector<Argument> list;
};

struct Grid {
    int64_t x, y = 1, z = 1;
};

struct Kernel {
    // Loads the code. `shared_limit`: bytes that a block may have on this GPU.
    Kernel(const Api &api, const Entry &entry, int64_t shared_limit);
    Kernel(const Kernel &) = delete;
    Kernel &operator=(const Kernel &) = delete;

    // Puts a launch on the stream. Throws BadArgument if the arguments are not those of the compiled kernel.
    void launch(Grid grid, const Arguments &arguments, Stream stream) const;

    // A constant of the source, by which launchers divide work. Throws BadArgument if the kernel has none of the name.
    int64_t constant(const char *name) const;

    // How many blocks a multiprocessor runs at once, at least 1.
    int64_t resident_blocks() const { return resident; }

    const Api &api;
    const Entry &entry;
    int64_t resident = 1;
    Module module = nullptr;
    Function function = nullptr;
};

}  // namespace mmkg::cuda
