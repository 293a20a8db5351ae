// Encoders in plain C++: what any processor runs. The bits are those of the other code where simd/multiply_add.h says so.
#include <cmath>
#include <cstdint>
#include <cstring>

#include "layers/make_encoder_set.h"
#include "simd/bfloat.h"
#include "simd/half.h"
#include "simd/multiply_add.h"

namespace mmkg {
namespace {

struct EncoderPortable {
    static constexpr int width = 4;
    static constexpr int panel = 8, tile_rows = 4, value_vectors = 4;
    struct Float {
        float lane[width];
    };

    template <class Operation>
    static Float each(Operation operation) {
        Float out;
        for (int i = 0; i < width; ++i) out.lane[i] = operation(i);
        return out;
    }

    static Float zero() { return Float{}; }
    static Float set(float value) {
        return each([&](int) { return value; });
    }
    static Float broadcast(const float *from) { return set(*from); }
    static Float load(const float *from) {
        Float out;
        std::memcpy(out.lane, from, sizeof out.lane);
        return out;
    }
    static Float load_value(const float *from) { return load(from); }
    static Float load_value(const uint16_t *from) {
        return each([&](int i) { return from_bfloat(from[i]); });
    }
    static Float load_value(const Half *from) {
        return each([&](int i) { return from_half(from[i]); });
    }
    static Float load_first(const float *from, int count) {
        return each([&](int i) { return i < count ? from[i] : 0.0f; });
    }
    static void store(float *to, const Float &value) { std::memcpy(to, value.lane, sizeof value.lane); }
    static void store_first(float *to, int count, const Float &value) {
        for (int i = 0; i < width && i < count; ++i) to[i] = value.lane[i];
    }
    static Float keep_first(const Float &value, int count) {
        return each([&](int i) { return i < count ? value.lane[i] : 0.0f; });
    }
    static Float add(const Float &a, const Float &b) {
        return each([&](int i) { return a.lane[i] + b.lane[i]; });
    }
    static Float sub(const Float &a, const Float &b) {
        return each([&](int i) { return a.lane[i] - b.lane[i]; });
    }
    static Float mul(const Float &a, const Float &b) {
        return each([&](int i) { return a.lane[i] * b.lane[i]; });
    }
    static Float fma(const Float &a, const Float &b, const Float &c) {
        return each([&](int i) { return multiply_add(a.lane[i], b.lane[i], c.lane[i]); });
    }
    static Float max(const Float &a, const Float &b) {
        return each([&](int i) { return a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]; });
    }
    static Float zero_where_less(const Float &value, const Float &a, const Float &b) {
        return each([&](int i) { return a.lane[i] < b.lane[i] ? 0.0f : value.lane[i]; });
    }
    static Float times_power_of_two(const Float &value, const Float &shifted) {
        return each([&](int i) { return as_float(bits(value.lane[i]) + (bits(shifted.lane[i]) << 23)); });
    }
    static float tree(const Float (&part)[4]) {
        const Float four = add(add(part[0], part[2]), add(part[1], part[3]));
        return (four.lane[0] + four.lane[2]) + (four.lane[1] + four.lane[3]);
    }

private:
    static uint32_t bits(float value) {
        uint32_t out;
        std::memcpy(&out, &value, sizeof out);
        return out;
    }
    static float as_float(uint32_t value) {
        float out;
        std::memcpy(&out, &value, sizeof out);
        return out;
    }
};

}  // namespace

const EncoderSet &portable_encoder_set() {
    static const EncoderSet set = make_encoder_set<EncoderPortable>(0);
    return set;
}

}  // namespace mmkg
