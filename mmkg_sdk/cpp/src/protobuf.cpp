#include "protobuf.hpp"

#include <string>

namespace mmkg::internal {
namespace {

enum Kind : uint64_t { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };

// What is left of a message.
class Reader {
public:
    explicit Reader(std::string_view message) : left_(message) {}

    bool done() const noexcept { return left_.empty(); }

    // Readers cut larger numbers off, each in its own way, so they are refused.
    uint64_t number(bool of_64_bits) {
        uint64_t value = 0;
        for (unsigned shift = 0; shift < 70; shift += 7) {
            const auto byte = static_cast<unsigned char>(bytes(1)[0]);
            if (shift == 63 && byte > 1) break;
            value |= uint64_t{byte & 0x7FU} << shift;
            if (byte < 0x80) {
                if (!of_64_bits && value >> 32 != 0) break;
                return value;
            }
        }
        throw NotProtobuf("a number is too large");
    }

    std::string_view bytes(uint64_t count) {
        if (count > left_.size()) {
            throw NotProtobuf("a field ends " + std::to_string(count - left_.size()) + " bytes behind its message");
        }
        const std::string_view found = left_.substr(0, count);
        left_.remove_prefix(count);
        return found;
    }

private:
    std::string_view left_;
};

}  // namespace

void each_field(std::string_view message, const std::function<void(const Field &)> &visit) {
    Reader reader(message);
    while (!reader.done()) {
        const uint64_t tag = reader.number(false), kind = tag & 7;
        if (kind == VARINT) {
            visit({tag >> 3, std::nullopt, reader.number(true)});
        } else if (kind == FIXED64 || kind == FIXED32) {
            reader.bytes(kind == FIXED64 ? 8 : 4);
        } else if (kind == BYTES) {
            visit({tag >> 3, reader.bytes(reader.number(false)), 0});
        } else {
            throw NotProtobuf("wire type " + std::to_string(kind));
        }
    }
}

std::optional<Field> single(std::string_view message, uint64_t number) {
    std::optional<Field> found;
    each_field(message, [&](const Field &field) {
        if (field.number != number) return;
        if (found) throw NotProtobuf("field " + std::to_string(number) + " is repeated");
        found = field;
    });
    return found;
}

}  // namespace mmkg::internal
