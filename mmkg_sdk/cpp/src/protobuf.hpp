// The fields of a protobuf message, read without any schema and stricter than readers must.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string_view>

namespace mmkg::internal {

struct NotProtobuf : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// A number, or the bytes of a text, a message or packed values; no floats.
struct Field {
    uint64_t number = 0;  // of the field
    std::optional<std::string_view> bytes;
    uint64_t value = 0;  // where there are no bytes
};

// Visits the fields in their order.
//
// Throws NotProtobuf.
void each_field(std::string_view message, const std::function<void(const Field &)> &visit);

// A field that stands there once at most; some readers take the last of several, some merge them.
//
// Throws NotProtobuf: also where it is repeated.
std::optional<Field> single(std::string_view message, uint64_t number);

}  // namespace mmkg::internal
