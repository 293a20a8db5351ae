// Plain C++: what any processor runs, and what the compiler makes vectors of where it can (SSE2, NEON).
#include <cmath>
#include <cstdint>
#include <cstring>

#include "scoring/make_set.h"

namespace mmkg {
namespace {

struct Portable {
    static constexpr int width = 8;
    static constexpr uint32_t all = 0xFF;
    static constexpr int exact_queries = 1;
    static constexpr int product_rows = 4, distance_rows = 2;
    // std::fma is a library call where the build may not use the instruction: tiles are always cheaper.
    static constexpr int64_t small_product_batch = 0, small_distance_batch = 0;
    static constexpr double root_error = 0x1p-23;

    struct Float {
        float lane[width];
    };
    struct Mask {
        bool lane[width];
    };
    struct Counts {
        int32_t lane[width];
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
    static Float load(const float *from) {
        Float out;
        std::memcpy(out.lane, from, sizeof out.lane);
        return out;
    }
    static Float broadcast(const float *from) { return set(*from); }
    template <bool Whole>
    static Float load_some(const float *from, int count) {
        return each([&](int i) { return Whole || i < count ? from[i] : 0.0f; });
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
        return each([&](int i) { return std::fma(a.lane[i], b.lane[i], c.lane[i]); });
    }
    static Float roughly_fma(const Float &a, const Float &b, const Float &c) {
        return each([&](int i) { return a.lane[i] * b.lane[i] + c.lane[i]; });
    }
    static Float sqrt(const Float &a) {
        return each([&](int i) { return std::sqrt(a.lane[i]); });
    }
    static Float minus_root(const Float &a, const Float &square) { return sub(a, sqrt(square)); }
    static float tree(const Float (&part)[2]) {
        Float sum = add(part[0], part[1]);
        for (int half = width / 2; half; half /= 2) {
            for (int i = 0; i < half; ++i) sum.lane[i] += sum.lane[i + half];
        }
        return sum.lane[0];
    }
    static Mask less(const Float &a, const Float &b) {
        Mask out;
        for (int i = 0; i < width; ++i) out.lane[i] = a.lane[i] < b.lane[i];
        return out;
    }
    static uint32_t bits(const Mask &mask) {
        uint32_t out = 0;
        for (int i = 0; i < width; ++i) out |= static_cast<uint32_t>(mask.lane[i]) << i;
        return out;
    }
    static Counts load_counts(const int32_t *from) {
        Counts out;
        std::memcpy(out.lane, from, sizeof out.lane);
        return out;
    }
    static void store_counts(int32_t *to, const Counts &counts) { std::memcpy(to, counts.lane, sizeof counts.lane); }
    static Counts add_one(Counts counts, const Mask &where) {
        for (int i = 0; i < width; ++i) counts.lane[i] += where.lane[i];
        return counts;
    }
};

}  // namespace

const InstructionSet &portable_set() {
    static const InstructionSet set = make_set<Portable, Portable>(0, "portable");
    return set;
}

}  // namespace mmkg
