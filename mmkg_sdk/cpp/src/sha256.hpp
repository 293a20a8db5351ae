// SHA-256 (FIPS 180-4), with the processor's instructions for it where it has them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace mmkg::internal {

class Sha256 {
public:
    // portable: without those instructions, for tests.
    explicit Sha256(bool portable = false);

    void update(const void *data, size_t size);

    // Of all that was given, 32 bytes. Nothing can be added afterwards.
    std::string digest();

private:
    using Blocks = void (*)(uint32_t *state, const unsigned char *data, size_t count);

    Blocks blocks_;
    std::array<uint32_t, 8> state_;
    std::array<unsigned char, 64> rest_{};  // what does not fill a block yet
    size_t filled_ = 0;
    uint64_t bytes_ = 0;
};

std::string in_hex(std::string_view bytes);

std::string sha256_hex(std::string_view data);

}  // namespace mmkg::internal
