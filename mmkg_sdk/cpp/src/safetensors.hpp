// Tensors in a safetensors file: header length (8 bytes, little endian), JSON header with dtype, shape and byte range
// of each tensor, data.
#pragma once

#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
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

// The numbers of a tensor where they lie, or a copy if that is not aligned. The tensor's content must stay.
template <class Number>
class Array {
public:
    Array() = default;
    explicit Array(const Tensor &tensor) : size_(tensor.count()) {
        if (reinterpret_cast<uintptr_t>(tensor.data) % alignof(Number) == 0) {
            data_ = reinterpret_cast<const Number *>(tensor.data);
        } else {
            copy_ = std::make_unique<Number[]>(static_cast<size_t>(size_));
            std::memcpy(copy_.get(), tensor.data, tensor.bytes());
            data_ = copy_.get();
        }
    }

    const Number *begin() const noexcept { return data_; }
    const Number *end() const noexcept { return data_ + size_; }
    int64_t size() const noexcept { return size_; }
    Number operator[](int64_t place) const noexcept { return data_[place]; }

private:
    std::unique_ptr<Number[]> copy_;
    const Number *data_ = nullptr;
    int64_t size_ = 0;
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
