#include "weights.hpp"

#include <algorithm>
#include <cstring>

#include "mmkg/error.hpp"

namespace mmkg::internal {
namespace {

[[noreturn]] void refuse(const std::string &what) { throw Error(Fault::backend, what + " Export the bundle again."); }

float of_bits(uint32_t bits) {
    float number = 0;
    std::memcpy(&number, &bits, sizeof number);
    return number;
}

// IEEE binary16, exactly.
float of_half(uint16_t half) {
    const uint32_t sign = uint32_t{half} >> 15 << 31, exponent = half >> 10 & 31U, fraction = half & 1023U;
    if (exponent == 0) {
        const float size = static_cast<float>(fraction) * 0x1p-24F;  // a denormal
        return sign != 0 ? -size : size;
    }
    return of_bits(sign | (exponent == 31 ? 255U : exponent + 112) << 23 | fraction << 13);
}

bool is_aligned(const Tensor &tensor) { return reinterpret_cast<uintptr_t>(tensor.data) % size_of(tensor.dtype) == 0; }

}  // namespace

Weights::Weights(const Tensors &all, const std::string &graph) {
    const std::string prefix = graph + ".";
    for (auto at = all.lower_bound(prefix); at != all.end() && at->first.compare(0, prefix.size(), prefix) == 0; ++at) {
        tensors_.emplace(at->first.substr(prefix.size()), at->second);
    }
}

void Weights::expect(const std::set<std::string> &names) const {
    for (const std::string &name : names) {
        if (!has(name)) refuse("weights of another graph: " + name + " is missing.");
    }
    for (const auto &[name, tensor] : tensors_) {
        if (names.count(name) == 0) refuse("weights of another graph: " + name + " is unknown.");
    }
}

const Tensor &Weights::stored(const std::string &name) const {
    const auto found = tensors_.find(name);
    if (found == tensors_.end()) refuse("weights of another graph: " + name + " is missing.");
    return found->second;
}

int64_t Weights::axis(const std::string &name, size_t axis) const {
    const Tensor &tensor = stored(name);
    if (tensor.shape.size() != 2) refuse(name + " is " + tensor.described() + "; expected two axes.");
    return tensor.shape[axis];
}

const float *Weights::float32(const std::string &name, const std::vector<int64_t> &shape) {
    const Tensor &tensor = stored(name);
    const bool row = shape.size() == 1 && tensor.shape == std::vector<int64_t>{1, shape[0]};
    const bool number =
        tensor.dtype == Dtype::float32 || tensor.dtype == Dtype::float16 || tensor.dtype == Dtype::bfloat16;
    if ((tensor.shape != shape && !row) || !number) {
        refuse(name + " is " + tensor.described() + "; expected " + Tensor{Dtype::float32, shape, nullptr}.described() +
               ".");
    }
    if (tensor.dtype == Dtype::float32 && is_aligned(tensor)) return reinterpret_cast<const float *>(tensor.data);
    const auto count = static_cast<size_t>(tensor.count());
    std::vector<float> &copy = copies_.emplace_back(std::max<size_t>(1, count));
    for (size_t i = 0; i < count; ++i) {
        if (tensor.dtype == Dtype::float32) {
            std::memcpy(&copy[i], tensor.data + 4 * i, 4);
        } else {
            uint16_t bits = 0;
            std::memcpy(&bits, tensor.data + 2 * i, 2);
            copy[i] = tensor.dtype == Dtype::float16 ? of_half(bits) : of_bits(uint32_t{bits} << 16);
        }
    }
    return copy.data();
}

const void *Weights::aligned(const std::string &name) {
    const Tensor &tensor = stored(name);
    if (is_aligned(tensor)) return tensor.data;
    std::vector<float> &copy = copies_.emplace_back(tensor.bytes() / sizeof(float) + 1);
    std::memcpy(copy.data(), tensor.data, tensor.bytes());
    return copy.data();
}

}  // namespace mmkg::internal
