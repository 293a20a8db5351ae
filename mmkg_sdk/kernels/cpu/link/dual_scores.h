// DUAL by Gram products (mmkg_link.h): no tensor is larger than the scores.
#pragma once

#include "link/interaction_set.h"
#include "simd/exp2.h"

namespace mmkg {

// |x|^2 and <x, w> of the formula are sums of products of their parts: numbers of one side, and five of both.
template <class Eight, bool ManyKeys>
void dual(const Dual &d) {
    using Float = typename Eight::Float;
    for (int64_t at = 0; at < d.count; at += kEight) {
        const auto key = [&](int number) __attribute__((always_inline)) {
            const float *from = d.keys + number * d.key_stride;
            return ManyKeys ? Eight::load(from + at) : Eight::set(*from);
        };
        const auto query = [&](int number) __attribute__((always_inline)) {
            const float *from = d.queries + number * d.query_stride;
            return ManyKeys ? Eight::set(*from) : Eight::load(from + at);
        };
        const auto gram = [&](int number) __attribute__((always_inline)) {
            return Eight::load(d.grams + number * d.gram_stride + at);
        };
        const Float two = Eight::set(2.0f), epsilon = Eight::set(d.epsilon), one = Eight::set(1.0f);
        // max(0, NaN) is NaN in this order.
        const auto inverse_root = [&](Float square) __attribute__((always_inline)) {
            return Eight::div(one, Eight::sqrt(Eight::add(Eight::max(Eight::zero(), square), epsilon)));
        };
        const Float r = inverse_root(Eight::fma(two, gram(kZq), Eight::add(key(kZz), query(kQq))));
        const Float gate = Eight::fma(r, Eight::add(key(kZGate), query(kQGate)), Eight::set(d.gate_offset));
        const Float t = tanh_of<Eight>(gate), s = Eight::mul(t, r);
        Float inner = Eight::fma(t, query(kWContext), gram(kKw));
        inner = Eight::fma(s, Eight::add(gram(kAw), query(kCw)), inner);
        const Float mapped = Eight::fma(two, gram(kAc), Eight::add(key(kAa), query(kCc)));
        Float mixed = Eight::add(gram(kKc), key(kAk));
        mixed = Eight::fma(t, Eight::add(key(kAContext), query(kCContext)), mixed);
        const Float linear = Eight::fma(t, Eight::set(d.context_square), Eight::mul(two, key(kKContext)));
        Float square = Eight::fma(t, linear, key(kKk));
        square = Eight::fma(s, Eight::fma(s, mapped, Eight::mul(two, mixed)), square);
        Eight::store(d.scores + at, Eight::fma(inner, inverse_root(square), query(kShift)));
    }
}

}  // namespace mmkg
