// SipHash-1-3 (Aumasson, Bernstein 2012): a hash with a key, so that nobody can write labels that all collide.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <string_view>

namespace mmkg::internal {

class SipHash {
public:
    // With a random key.
    SipHash() {
        std::random_device random;
        for (uint64_t &part : key_) part = uint64_t{random()} << 32 | random();
    }

    uint64_t operator()(std::string_view text) const noexcept {
        uint64_t v[4] = {key_[0] ^ 0x736f6d6570736575, key_[1] ^ 0x646f72616e646f6d, key_[0] ^ 0x6c7967656e657261,
                         key_[1] ^ 0x7465646279746573};
        size_t place = 0;
        uint64_t word = 0;
        for (; place + 8 <= text.size(); place += 8) {
            std::memcpy(&word, text.data() + place, 8);
            v[3] ^= word;
            round(v);
            v[0] ^= word;
        }
        word = uint64_t{text.size()} << 56;
        if (place < text.size()) {
            uint64_t rest = 0;
            std::memcpy(&rest, text.data() + place, text.size() - place);
            word |= rest;
        }
        v[3] ^= word;
        round(v);
        v[0] ^= word;
        v[2] ^= 0xff;
        for (int i = 0; i < 3; ++i) round(v);
        return v[0] ^ v[1] ^ v[2] ^ v[3];
    }

private:
    static uint64_t left(uint64_t x, int bits) noexcept { return x << bits | x >> (64 - bits); }

    static void round(uint64_t *v) noexcept {
        v[0] += v[1], v[1] = left(v[1], 13) ^ v[0], v[0] = left(v[0], 32);
        v[2] += v[3], v[3] = left(v[3], 16) ^ v[2];
        v[0] += v[3], v[3] = left(v[3], 21) ^ v[0];
        v[2] += v[1], v[1] = left(v[1], 17) ^ v[2], v[2] = left(v[2], 32);
    }

    uint64_t key_[2] = {};
};

}  // namespace mmkg::internal
