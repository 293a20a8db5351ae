// The late interaction in plain C++; as to its bits see layers/encoder_portable.cpp.
#include <cmath>
#include <cstdint>
#include <cstring>

#include "link/make_interaction_set.h"
#include "simd/multiply_add.h"

namespace mmkg {
namespace {

float from_half(uint16_t half) {
    const uint32_t sign = (half & 0x8000u) << 16, rest = half & 0x7FFFu;
    // The exponent is moved by multiplying: 2^112 takes denormals along.
    uint32_t bits = rest << 13;
    float value;
    std::memcpy(&value, &bits, sizeof value);
    value *= 0x1p112f;
    std::memcpy(&bits, &value, sizeof bits);
    if (rest >= 0x7C00u) bits |= 0x7F800000u;  // infinity, NaN
    bits |= sign;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

struct EightPortable {
    static constexpr int width = 8, tile_vectors = 1;
    template <class Number>
    struct Vector {
        Number lane[width];
    };
    using Float = Vector<float>;
    using Int = Vector<int32_t>;

    template <class Number = float, class Operation>
    static Vector<Number> each(Operation operation) {
        Vector<Number> out;
        for (int i = 0; i < width; ++i) out.lane[i] = operation(i);
        return out;
    }

    static Int zero_int() { return Int{}; }
    static Int load_int(const int32_t *from) {
        Int out;
        std::memcpy(out.lane, from, sizeof out.lane);
        return out;
    }
    static void store_int(int32_t *to, const Int &value) { std::memcpy(to, value.lane, sizeof value.lane); }
    static Int broadcast_int(const int32_t *from) {
        return each<int32_t>([&](int) { return *from; });
    }
    static Int add_products(const Int &sum, const Int &a, const Int &b) {
        return each<int32_t>([&](int i) {
            const int32_t high = (a.lane[i] >> 16) * (b.lane[i] >> 16);
            return sum.lane[i] + low(a.lane[i]) * low(b.lane[i]) + high;
        });
    }
    static Float to_float(const Int &value) {
        return each([&](int i) { return static_cast<float>(value.lane[i]); });
    }
    static Float of_eights(const float *low, const float *) { return set(*low); }

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
    static Float load_stored(const float *from) { return load(from); }
    static Float load_stored(const uint16_t *from) {
        return each([&](int i) { return from_half(from[i]); });
    }
    static void store(float *to, const Float &value) { std::memcpy(to, value.lane, sizeof value.lane); }
    static void store_rounded(int16_t *to, const Float &value) {
        int16_t rounded[width];
        for (int i = 0; i < width; ++i) {
            // Adding 1.5 * 2^23 leaves the rounded number in the lowest bits; of NaN any number will do.
            rounded[i] = static_cast<int16_t>(bits(value.lane[i] + 12582912.0f) & 0xFFFFu);
        }
        std::memcpy(to, rounded, sizeof rounded);
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
    static Float div(const Float &a, const Float &b) {
        return each([&](int i) { return a.lane[i] / b.lane[i]; });
    }
    static Float fma(const Float &a, const Float &b, const Float &c) {
        return each([&](int i) { return multiply_add(a.lane[i], b.lane[i], c.lane[i]); });
    }
    static Float sqrt(const Float &a) {
        return each([&](int i) { return std::sqrt(a.lane[i]); });
    }
    // Where one is NaN: b.
    static Float max(const Float &a, const Float &b) {
        return each([&](int i) { return a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]; });
    }
    static Float min(const Float &a, const Float &b) {
        return each([&](int i) { return a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]; });
    }
    static Float where_less(const Float &a, const Float &b, const Float &yes, const Float &no) {
        return each([&](int i) { return a.lane[i] < b.lane[i] ? yes.lane[i] : no.lane[i]; });
    }
    static Float times_power_of_two(const Float &value, const Float &shifted) {
        return each([&](int i) {
            const uint32_t sum = bits(value.lane[i]) + (bits(shifted.lane[i]) << 23);
            float out;
            std::memcpy(&out, &sum, sizeof out);
            return out;
        });
    }
    static Float sums(const Float (&part)[width]) {
        return each([&](int i) {
            const float *l = part[i].lane;
            return ((l[0] + l[2]) + (l[1] + l[3])) + ((l[4] + l[6]) + (l[5] + l[7]));
        });
    }
    static void transpose(const float *from, ptrdiff_t stride, float *to, ptrdiff_t to_stride) {
        for (int row = 0; row < width; ++row) {
            for (int column = 0; column < width; ++column) {
                std::memcpy(to + column * to_stride + row, from + row * stride + column, sizeof *to);
            }
        }
    }

private:
    static int32_t low(int32_t pair) { return static_cast<int16_t>(pair & 0xFFFF); }
    static uint32_t bits(float value) {
        uint32_t out;
        std::memcpy(&out, &value, sizeof out);
        return out;
    }
};

}  // namespace

const InteractionSet &portable_interaction_set() {
    static const InteractionSet set = make_interaction_set<EightPortable, EightPortable>(0);
    return set;
}

}  // namespace mmkg
