#include "safetensors.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <tuple>

#include "json.hpp"
#include "text.hpp"

namespace mmkg::internal {
namespace {

// Of the safetensors package.
constexpr uint64_t HEADER_LIMIT = 100'000'000;
constexpr size_t MOST_AXES = 32;
constexpr int64_t LARGEST = INT64_MAX;

struct Kind {
    const char *stored, *name;
    size_t size;
};
// In the order of Dtype; bfloat16 goes by its bits, as numpy has it.
constexpr Kind KINDS[] = {{"BOOL", "bool", 1},   {"U8", "uint8", 1},   {"I8", "int8", 1},     {"I16", "int16", 2},
                          {"I32", "int32", 4},   {"I64", "int64", 8},  {"F16", "float16", 2}, {"BF16", "uint16", 2},
                          {"F32", "float32", 4}, {"F64", "float64", 8}};

Dtype dtype_of(const std::string &stored) {
    for (size_t i = 0; i < std::size(KINDS); ++i) {
        if (stored == KINDS[i].stored) return static_cast<Dtype>(i);
    }
    throw NotStrict("unknown dtype " + in_quotes(stored));
}

std::string bracketed(const std::vector<int64_t> &shape, const char *any) {
    std::string text = "[";
    for (const int64_t size : shape) text += (text.size() > 1 ? ", " : "") + (size < 0 ? any : std::to_string(size));
    return text + "]";
}

// Bytes of a tensor, or nothing if it is more than any file has.
bool bytes_of(const std::vector<int64_t> &shape, Dtype dtype, uint64_t &bytes) {
    bytes = size_of(dtype);
    if (std::find(shape.begin(), shape.end(), 0) != shape.end()) bytes = 0;
    for (const int64_t size : shape) {
        if (bytes != 0 && static_cast<uint64_t>(size) > static_cast<uint64_t>(LARGEST) / bytes) return false;
        bytes *= static_cast<uint64_t>(size);
    }
    return true;
}

struct Entry {
    int64_t begin, end;
    std::string name;
    Tensor tensor;
};

Entry entry_of(const std::string &name, const Json &value) {
    const std::string what = "the entry of " + in_quotes(name);
    if (!value.is_object() || !value.contains("dtype") || !value["dtype"].is_string())
        throw NotStrict(what + " has no dtype");
    Entry entry{0, 0, name, {}};
    entry.tensor.dtype = dtype_of(value["dtype"].get<std::string>());
    const auto sizes = [&](const char *member) {
        if (!value.contains(member) || !value[member].is_array()) throw NotStrict(what + " has no " + member);
        std::vector<int64_t> found;
        for (const Json &size : value[member]) {
            if (!is_whole(size, 0, LARGEST)) throw NotStrict(what + " has " + member + " " + shown(value[member]));
            found.push_back(size.get<int64_t>());
        }
        return found;
    };
    entry.tensor.shape = sizes("shape");
    if (entry.tensor.shape.size() > MOST_AXES) throw NotStrict(what + " has too many axes");
    const std::vector<int64_t> offsets = sizes("data_offsets");
    if (offsets.size() != 2) throw NotStrict(what + " has no two data_offsets");
    entry.begin = offsets[0], entry.end = offsets[1];
    return entry;
}

// The tensors, with places in the content.
Tensors parsed(std::string_view content) {
    uint64_t length = 0;
    const bool whole = content.size() >= 8;
    for (size_t i = 0; i < 8 && whole; ++i) length |= uint64_t{static_cast<unsigned char>(content[i])} << (8 * i);
    if (!whole || length > std::min<uint64_t>(content.size() - 8, HEADER_LIMIT)) {
        throw NotStrict("a header of " + std::to_string(length) + " bytes in a file of " +
                        std::to_string(content.size()));
    }
    Json header = strict_json(content.substr(8, static_cast<size_t>(length)));
    if (!header.is_object()) throw NotStrict("the header is no object");
    header.erase("__metadata__");
    std::vector<Entry> entries;
    for (const auto &[name, value] : header.items()) entries.push_back(entry_of(name, value));
    std::sort(entries.begin(), entries.end(), [](const Entry &one, const Entry &two) {
        return std::tie(one.begin, one.end, one.name) < std::tie(two.begin, two.end, two.name);
    });
    const char *data = content.data() + 8 + length;
    const uint64_t room = content.size() - 8 - length;
    uint64_t end = 0;
    Tensors tensors;
    for (Entry &entry : entries) {
        uint64_t bytes = 0;
        const bool fits = bytes_of(entry.tensor.shape, entry.tensor.dtype, bytes) && entry.end >= entry.begin;
        if (!fits || static_cast<uint64_t>(entry.begin) != end ||
            static_cast<uint64_t>(entry.end - entry.begin) != bytes) {
            throw NotStrict("the bytes of " + in_quotes(entry.name) +
                            " are not those of its shape, or not behind those before it");
        }
        end += bytes;
        if (end > room) break;
        entry.tensor.data = data + entry.begin;
        tensors.emplace(std::move(entry.name), std::move(entry.tensor));
    }
    if (end != room) {
        throw NotStrict(std::to_string(room) + " bytes behind the header, which describes " + std::to_string(end));
    }
    return tensors;
}

bool is_finite(float number) { return std::fabs(number) <= 3.402823466e38F; }

bool is_finite(uint16_t half) { return (half & 0x7C00U) != 0x7C00U; }  // IEEE binary16

// The first row that holds a NaN or an infinity, or -1.
template <class Number>
int64_t row_that_is_not_finite(const Tensor &tensor) {
    const int64_t rows = tensor.shape.empty() ? 1 : tensor.shape[0], count = tensor.count();
    constexpr int64_t block = 4096;
    Number numbers[block];
    for (int64_t start = 0; start < count; start += block) {
        const int64_t size = std::min(block, count - start);
        std::memcpy(numbers, tensor.data + static_cast<size_t>(start) * sizeof(Number),
                    static_cast<size_t>(size) * sizeof(Number));
        bool finite = true;
        for (int64_t i = 0; i < size; ++i) finite &= is_finite(numbers[i]);
        if (finite) continue;
        const Number *wrong = std::find_if(numbers, numbers + size, [](Number number) { return !is_finite(number); });
        return (start + (wrong - numbers)) / (count / rows);
    }
    return -1;
}

}  // namespace

const char *name_of(Dtype dtype) noexcept { return KINDS[static_cast<size_t>(dtype)].name; }

size_t size_of(Dtype dtype) noexcept { return KINDS[static_cast<size_t>(dtype)].size; }

int64_t Tensor::count() const noexcept {
    int64_t product = 1;
    if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return 0;
    for (const int64_t size : shape) product *= size;
    return product;
}

size_t Tensor::bytes() const noexcept { return static_cast<size_t>(count()) * size_of(dtype); }

std::string Tensor::described() const { return std::string(name_of(dtype)) + " " + bracketed(shape, "any"); }

Tensors read_tensors(const std::string &path, std::string_view content) {
    try {
        return parsed(content);
    } catch (const NotStrict &error) {
        throw Error(Fault::bundle, path + " is not a valid safetensors file (" + readable(error.what(), 200) +
                                       "). Export the bundle again.");
    }
}

void check_tensors(const std::string &path, const Tensors &tensors, const std::map<std::string, Stored> &expected) {
    const bool same = tensors.size() == expected.size() &&
                      std::equal(tensors.begin(), tensors.end(), expected.begin(),
                                 [](const auto &one, const auto &two) { return one.first == two.first; });
    if (!same) {
        std::string found, wanted;
        for (const auto &[name, tensor] : tensors) found += (found.empty() ? "" : ", ") + in_quotes(name);
        for (const auto &[name, stored] : expected) wanted += (wanted.empty() ? "" : ", ") + in_quotes(name);
        throw Error(Fault::bundle, path + " holds [" + readable(found, 200) + "], expected [" + wanted +
                                       "]. Export the bundle again.");
    }
    for (const auto &[name, stored] : expected) {
        const Tensor &tensor = tensors.at(name);
        bool fits = tensor.dtype == stored.dtype && tensor.shape.size() == stored.shape.size();
        for (size_t axis = 0; fits && axis < stored.shape.size(); ++axis) {
            const int64_t size = tensor.shape[axis], wanted = stored.shape[axis];
            fits = wanted >= 0 ? size == wanted : size > 0 || axis == 0;
        }
        if (!fits) {
            throw Error(Fault::bundle, path + ": " + name + " is " + tensor.described() + ", expected " +
                                           name_of(stored.dtype) + " " + bracketed(stored.shape, "any") +
                                           ". Export again.");
        }
        const int64_t row = stored.dtype == Dtype::float32   ? row_that_is_not_finite<float>(tensor)
                            : stored.dtype == Dtype::float16 ? row_that_is_not_finite<uint16_t>(tensor)
                                                             : -1;  // others are whole numbers
        if (row >= 0) {
            throw Error(Fault::bundle, path + ": " + name + " holds NaN or infinity in row " + std::to_string(row) +
                                           ". Export from a sound run.");
        }
    }
}

}  // namespace mmkg::internal
