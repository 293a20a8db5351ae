// Late attention: the softmax of all logits of a mention and an entity, and its mean over the entity's positions. The
// positions of a few entities lie side by side in vectors, so that a softmax runs down the lanes.
#pragma once

#include "link/interaction_set.h"
#include "link/rows.h"
#include "simd/exp2.h"

namespace mmkg {

// What a step of a product takes: one coordinate in float, or two in int16, whose sum of products is exact.
template <class Wide>
struct FloatLogits {
    using Number = float;
    using Sum = typename Wide::Float;
    static constexpr bool exact = false;
    static Sum zero() { return Wide::zero(); }
    static Sum load(const Number *from) { return Wide::load(from); }
    static Sum add(Sum sum, const Number *key, Sum query) { return Wide::fma(Wide::broadcast(key), query, sum); }
    static typename Wide::Float value(Sum sum) { return sum; }
    static void store(Number *to, Sum sum) { Wide::store(to, sum); }
};

template <class Wide>
struct IntLogits {
    using Number = int32_t;
    using Sum = typename Wide::Int;
    static constexpr bool exact = true;
    static Sum zero() { return Wide::zero_int(); }
    static Sum load(const Number *from) { return Wide::load_int(from); }
    static Sum add(Sum sum, const Number *key, Sum query) {
        return Wide::add_products(sum, Wide::broadcast_int(key), query);
    }
    static typename Wide::Float value(Sum sum) { return Wide::to_float(sum); }
    static void store(Number *to, Sum sum) { Wide::store_int(to, sum); }
};

// Lanes past the last entity take its base.
inline const float *base_of(const Attend &a, int64_t lane) {
    const int64_t entity = lane / kEight / a.eights;
    return a.base + (entity < a.entities ? entity : a.entities - 1) * a.base_stride;
}

// Products of kTileKeys positions of the mention with `Vectors` vectors of lanes.
template <class Wide, class Logits, int Vectors>
void product_tile_of(const Attend &a, int64_t key, int64_t lane) {
    using Number = typename Logits::Number;
    constexpr int keys = kTileKeys;
    typename Logits::Sum sum[keys][Vectors];
#pragma GCC unroll 8
    for (auto &of_key : sum) {
#pragma GCC unroll 8
        for (auto &part : of_key) part = Logits::zero();
    }
    const Number *panel = static_cast<const Number *>(a.panel) + lane;
    const Number *from = static_cast<const Number *>(a.keys) + key * a.key_stride;
    for (int64_t step = 0; step < a.steps; ++step, panel += a.lanes, ++from) {
        typename Logits::Sum query[Vectors];
#pragma GCC unroll 8
        for (int v = 0; v < Vectors; ++v) query[v] = Logits::load(panel + v * Wide::width);
#pragma GCC unroll 8
        for (int j = 0; j < keys; ++j) {
#pragma GCC unroll 8
            for (int v = 0; v < Vectors; ++v) sum[j][v] = Logits::add(sum[j][v], from + j * a.key_stride, query[v]);
        }
    }
    // As they are: whatever else happened here would keep the sums out of registers above.
    auto *to = reinterpret_cast<Number *>(a.logits) + key * a.lanes + lane;
#pragma GCC unroll 8
    for (int j = 0; j < keys; ++j) {
#pragma GCC unroll 8
        for (int v = 0; v < Vectors; ++v) Logits::store(to + j * a.lanes + v * Wide::width, sum[j][v]);
    }
}

template <class Wide, class Logits, int Vectors>
void products_of_lanes(const Attend &a, int64_t lane) {
    for (; lane + Vectors * Wide::width <= a.lanes; lane += Vectors * Wide::width) {
        for (int64_t key = 0; key < a.length; key += kTileKeys) product_tile_of<Wide, Logits, Vectors>(a, key, lane);
    }
    if constexpr (Vectors > 1) {
        if (lane < a.lanes) products_of_lanes<Wide, Logits, Vectors - 1>(a, lane);
    }
}

// exp2(logit - largest) in place of the products of a vector of lanes; gives what each lane is to be multiplied with.
template <class Wide, class Logits>
typename Wide::Float softmax_numerators(const Attend &a, int64_t lane) {
    using Number = typename Logits::Number;
    float *const at = a.logits + lane;
    const float *low = nullptr, *high = nullptr;
    auto unit = Wide::zero();
    if constexpr (Logits::exact) {
        // A vector may hold positions of two entities, in eights.
        low = base_of(a, lane), high = base_of(a, lane + Wide::width - 1);
        unit = Wide::load(a.unit + lane);
    }
    const auto logit = [&](int64_t key) __attribute__((always_inline)) {
        const auto product = Logits::value(Logits::load(reinterpret_cast<const Number *>(at + key * a.lanes)));
        if constexpr (Logits::exact) {
            const auto mean = low == high ? Wide::broadcast(low + key) : Wide::of_eights(low + key, high + key);
            return Wide::fma(product, unit, mean);
        }
        return product;
    };
    auto most = logit(0);
    for (int64_t key = 1; key < a.length; ++key) most = Wide::max(most, logit(key));
    auto sum = Wide::zero();
    for (int64_t key = 0; key < a.length; ++key) {
        const auto weight = exp2_of<Wide>(Wide::sub(logit(key), most));
        Wide::store(at + key * a.lanes, weight);
        sum = Wide::add(sum, weight);
    }
    return Wide::div(Wide::load(a.share + lane), sum);
}

template <class Wide, class Eight, class Logits>
void attend(const Attend &a) {
    products_of_lanes<Wide, Logits, Wide::tile_vectors>(a, 0);
    for (int64_t lane = 0; lane < a.lanes; lane += Wide::width) {
        Wide::store(a.factors + lane, softmax_numerators<Wide, Logits>(a, lane));
    }
    for (int64_t entity = 0; entity < a.entities; ++entity) {
        const int64_t lane = entity * a.eights * kEight;
        for (int64_t key = 0; key < a.length; key += kEight) {
            typename Eight::Float sum[kEight];
            const float *from = a.logits + key * a.lanes + lane;
#pragma GCC unroll 8
            for (int i = 0; i < kEight; ++i) {
                sum[i] = Eight::mul(Eight::load(from + i * a.lanes), Eight::load(a.factors + lane));
            }
            for (int64_t part = 1; part < a.eights; ++part) {
                const auto share = Eight::load(a.factors + lane + part * kEight);
                const float *more = from + part * kEight;
#pragma GCC unroll 8
                for (int i = 0; i < kEight; ++i) sum[i] = Eight::fma(Eight::load(more + i * a.lanes), share, sum[i]);
            }
            Eight::store(a.attention + entity * a.stride + key, Eight::sums(sum));
        }
    }
}

}  // namespace mmkg
