// Tensors in a safetensors file: header length (8 bytes, little endian), JSON header with dtype, shape and byte range
// of each tensor, data.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "files.hpp"

namespace mmkg::internal {

enum class Dtype { boolean, uint8, int8, int16, int32, int64, float16, bfloat16, float32, float64 };

const char *name_of(Dtype dtype) noexcept;
size_t size_of(Dtype dtype) noexcept;

// A view into a file's content; not aligned, unless whoever wrote it saw to it.
struct Tensor {
    Dtype dtype{};
    std::vector<int64_t> shape;
    const char *data = nullptr;

    int64_t count() const noexcept;
    size_t bytes() const noexcept;
    // Like "float32 [40, 32]".
    std::string described() const;
};

using Tensors = std::map<std::string, Tensor>;

// All tensors of a file. They lie one behind the other and fill it.
//
// Throws Error (bundle): it is not of this format.
Tensors read_tensors(const std::string &path, std::string_view content);

// What a tensor must be; -1 = any size of at least 1 (0 along the first axis).
struct Stored {
    Dtype dtype{};
    std::vector<int64_t> shape;
};

// Whether these are exactly the tensors that were expected, and every number is finite.
//
// Throws Error (bundle).
void check_tensors(const std::string &path, const Tensors &tensors, const std::map<std::string, Stored> &expected);

}  // namespace mmkg::internal
