// The container of compiled kernels, written by cuda/triton/image.py, which states its layout. What it says is checked
// before anything is read by it: no number of the file leads outside of the file.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace mmkg::cuda {

constexpr int kMaxParameters = 64, kMaxBoxRank = 5, kTensorMapBytes = 128;

// As Kind of cuda/triton/parameters.py.
enum class Kind : uint32_t { Integer, Float, Address, TensorMap, TensorAddress, Extent, Stride, Zero };

// One parameter of a compiled kernel, as it lies in the file; its fields are those of parameters.py.
struct Parameter {
    Kind kind;
    uint32_t argument, bytes, axis, map_type, swizzle, rank, box[kMaxBoxRank];
};

// A constant of a kernel's source, as it lies in the file.
struct Constant {
    char name[24];
    int64_t value;
};

// One compiled kernel. `code` points into the file.
struct Entry {
    std::string name, symbol;
    int target;  // compute capability, 90 for 9.0
    bool is_ptx;
    const unsigned char *code;
    uint64_t bytes;
    uint32_t checksum;
    unsigned shared_bytes, threads;
    std::vector<Parameter> parameters;
    std::vector<Constant> constants;

    // Throws BadArgument if the code is not the one that was written.
    void verify() const;
};

class Image {
public:
    // `contents` must stay, unchanged, as long as the image is used. Throws BadArgument if it is no whole image.
    Image(const void *contents, int64_t bytes);

    // Throws BadArgument if any code is not the one that was written.
    void verify() const;

    // What a GPU of this compute capability (90 for 9.0) should run: code made for it; for 8.x the newest made for an
    // 8.x before it; else PTX, which the driver compiles. Null: there is nothing that it can run.
    const Entry *find(const std::string &name, int capability) const;

    // Whether find() has something for this GPU, of any kernel.
    bool serves(int capability) const;

    // "8.0, 8.6, 9.0": what code there is for.
    std::string targets() const;

private:
    std::vector<Entry> entries;
};

}  // namespace mmkg::cuda
