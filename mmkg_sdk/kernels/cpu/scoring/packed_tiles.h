// The kernels of scoring/packed_set.h, for any Dot: what a word is and how products of words are added up.
#pragma once

#include <array>
#include <utility>

#include "scoring/packed_set.h"

namespace mmkg {

// Puts the open rows of a group on a list. NaN means that nothing is known.
template <class Dot>
[[gnu::noinline]] void put(Shortlist &list, typename Dot::Float value, float bound, uint32_t open,
                           uint32_t first_id) {
    const auto wide = Dot::set(bound);
    Dot::put_some(list.upper + list.size, open, Dot::min(Dot::add(value, wide), Dot::set(Dot::infinity)));
    Dot::put_some(list.lower + list.size, open, Dot::max(Dot::sub(value, wide), Dot::set(-Dot::infinity)));
    Dot::put_ids(list.ids + list.size, open, first_id);
    list.size += __builtin_popcount(open);
}

// Every score is summed up in so many chains, for an addition takes about four cycles and a tile has two groups at most.
template <int Queries>
constexpr int kChains = Queries == 1 ? 2 : 1;

template <class Dot, int Queries>
using PackedSums = typename Dot::Sum[Queries][Dot::groups][kChains<Queries>];

// Of Dot::groups groups from `g` on, as many as the registers hold.
template <class Dot, int Queries>
[[gnu::always_inline]] inline void sum_tile(const PackedGroups &in, int64_t g, const PackedQueries &queries,
                                            PackedSums<Dot, Queries> &sum) {
    constexpr int Groups = Dot::groups, Chains = kChains<Queries>;
    const int64_t group_words = in.places * kGroupRows;
    const uint32_t *rows = in.words + g * group_words, *ahead = rows + Groups * group_words;
    const uint32_t *words = queries.words;
#pragma GCC unroll 12
    for (int q = 0; q < Queries; ++q) {
#pragma GCC unroll 4
        for (int i = 0; i < Groups * Chains; ++i) {
            sum[q][i / Chains][i % Chains] = i % Chains ? Dot::zero() : Dot::start(queries.start[q]);
        }
    }
    for (int64_t p = 0; p < in.places; p += Chains) {
#pragma GCC unroll 4
        for (int c = 0; c < Chains; ++c, rows += kGroupRows, words += Queries) {
            typename Dot::Words row[Groups];
#pragma GCC unroll 2
            for (int t = 0; t < Groups; ++t, ahead += kGroupRows) {
                __builtin_prefetch(ahead);
                row[t] = Dot::load(rows + t * group_words);
            }
#pragma GCC unroll 12
            for (int q = 0; q < Queries; ++q) {
                const auto query = Dot::broadcast(words + q);
#pragma GCC unroll 2
                for (int t = 0; t < Groups; ++t) Dot::add_products(sum[q][t][c], row[t], query);
            }
        }
    }
}

template <class Dot, int Chains>
[[gnu::always_inline]] inline typename Dot::Float value_of(const typename Dot::Sum (&sum)[Chains],
                                                           typename Dot::Float scale) {
    auto total = sum[0];
#pragma GCC unroll 4
    for (int c = 1; c < Chains; ++c) total = Dot::add_sums(total, sum[c]);
    return Dot::value(total, scale);
}

// How far values of a group may be from canonical scores, per query.
template <class Dot>
[[gnu::always_inline]] inline typename Dot::Float errors_of(const PackedQueries &queries, GroupBound group) {
    return Dot::fma(Dot::load_floats(queries.norm_slope), Dot::set(group.norm),
                    Dot::fma(Dot::load_floats(queries.lost_slope), Dot::set(group.lost),
                             Dot::load_floats(queries.constant)));
}

// Comparisons with NaN are false: such rows are put on the lists, here and below.
template <class Dot, int Queries>
int64_t select_groups(const PackedGroups &in, const PackedQueries &queries, const float *thresholds, int64_t limit,
                      Shortlist *lists) {
    for (int64_t g = 0; g < in.count; g += Dot::groups) {
        PackedSums<Dot, Queries> sum;
        sum_tile<Dot, Queries>(in, g, queries, sum);
        bool full = false;
#pragma GCC unroll 2
        for (int t = 0; t < Dot::groups; ++t) {
            const uint32_t asked = in.masks[g + t];
            const uint32_t first_id = in.first_id + static_cast<uint32_t>((g + t) * kGroupRows);
            const auto scale = Dot::scales(in.scales + (g + t) * kGroupRows);
            alignas(64) float bounds[kGroupRows], cuts[kGroupRows];  // of the queries
            const auto bound = errors_of<Dot>(queries, in.bounds[g + t]);
            Dot::store(bounds, bound);
            Dot::store(cuts, Dot::sub(Dot::load_floats(thresholds), bound));
#pragma GCC unroll 12
            for (int q = 0; q < Queries; ++q) {
                const auto value = value_of<Dot>(sum[q][t], scale);
                const uint32_t open = ~Dot::less(value, Dot::set(cuts[q])) & asked;
                if (__builtin_expect(open != 0, 0)) {
                    put<Dot>(lists[q], value, bounds[q], open, first_id);
                    full |= lists[q].size > limit;
                }
            }
        }
        if (__builtin_expect(full, 0)) return g + Dot::groups;
    }
    return in.count;
}

template <class Dot, int Queries>
int64_t count_groups(const PackedGroups &in, const PackedQueries &queries, const float *low, const float *high,
                     int64_t limit, int64_t *better, OpenRows *lists) {
    for (int64_t g = 0; g < in.count; g += Dot::groups) {
        PackedSums<Dot, Queries> sum;
        sum_tile<Dot, Queries>(in, g, queries, sum);
        bool full = false;
#pragma GCC unroll 2
        for (int t = 0; t < Dot::groups; ++t) {
            const uint32_t asked = in.masks[g + t];
            const uint32_t first_id = in.first_id + static_cast<uint32_t>((g + t) * kGroupRows);
            const auto scale = Dot::scales(in.scales + (g + t) * kGroupRows);
            alignas(64) float lows[kGroupRows], highs[kGroupRows];  // of the queries
            const auto bound = errors_of<Dot>(queries, in.bounds[g + t]);
            Dot::store(lows, Dot::sub(Dot::load_floats(low), bound));
            Dot::store(highs, Dot::add(Dot::load_floats(high), bound));
#pragma GCC unroll 12
            for (int q = 0; q < Queries; ++q) {
                const auto value = value_of<Dot>(sum[q][t], scale);
                const uint32_t rest = ~Dot::less(value, Dot::set(lows[q])) & asked;
                if (!rest) continue;
                const uint32_t above = Dot::less(Dot::set(highs[q]), value) & rest, open = rest & ~above;
                better[q] += __builtin_popcount(above);
                Dot::put_ids(lists[q].ids + lists[q].size, open, first_id);
                lists[q].size += __builtin_popcount(open);
                full |= lists[q].size > limit;
            }
        }
        if (__builtin_expect(full, 0)) return g + Dot::groups;
    }
    return in.count;
}

// Of 1, 2, ... queries.
template <class Dot>
using PackedKernels = std::array<PackedKernel, Dot::queries>;

template <class Dot, int... Less>
constexpr PackedKernels<Dot> packed_kernels(std::integer_sequence<int, Less...>) {
    return {{{select_groups<Dot, Less + 1>, count_groups<Dot, Less + 1>}...}};
}

template <class Dot>
constexpr PackedKernels<Dot> packed_kernels() {
    static_assert(kTileGroups % Dot::groups == 0 && Dot::queries <= kMaxPackedQueries, "more than a panel or list holds");
    return packed_kernels<Dot>(std::make_integer_sequence<int, Dot::queries>());
}

}  // namespace mmkg
