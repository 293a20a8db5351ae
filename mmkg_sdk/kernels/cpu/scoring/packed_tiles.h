// The kernels of scoring/packed_set.h, for any Dot: what a word is and how products of words are added up.
#pragma once

#include <array>
#include <limits>
#include <utility>

#include "scoring/packed_set.h"

namespace mmkg {

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

// Values are kept, and looked at when there are many: branches that nothing predicts, among the products, threw away
// those of the next rows that were under way (a tenth of the time at 15,000 rows).
template <class Dot, int Queries>
void score_groups(const PackedGroups &in, const PackedQueries &queries, float *values) {
    for (int64_t g = 0; g < in.count; g += Dot::groups) {
        PackedSums<Dot, Queries> sum;
        sum_tile<Dot, Queries>(in, g, queries, sum);
#pragma GCC unroll 2
        for (int t = 0; t < Dot::groups; ++t) {
            const auto scale = Dot::scales(in.scales + (g + t) * kGroupRows);
#pragma GCC unroll 12
            for (int q = 0; q < Queries; ++q) {
                Dot::store(values + q * kPassRows + (g + t) * kGroupRows, value_of<Dot>(sum[q][t], scale));
            }
        }
    }
}

// How far the values of each group may be from canonical scores.
template <class Dot>
[[gnu::always_inline]] inline void errors_of(const PackedGroups &in, const PackedQueries &queries, int query,
                                             float *errors) {
    const float norm = queries.norm_slope[query], lost = queries.lost_slope[query], constant = queries.constant[query];
    for (int64_t g = 0; g < in.count; ++g) errors[g] = norm * in.bounds[g].norm + (lost * in.bounds[g].lost + constant);
}

// Comparisons with NaN are false: such rows are put on the list, here and below.
template <class Dot>
int64_t select_rows(const PackedGroups &in, const PackedQueries &queries, int query, const float *values, int64_t first,
                    float threshold, int64_t limit, Shortlist &list) {
    float bounds[kPassGroups];
    errors_of<Dot>(in, queries, query, bounds);
    // Which groups have open rows, first: a branch for each would be mispredicted as often as not.
    uint32_t open_rows[kPassGroups];
    int64_t places[kPassGroups], found = 0;
    for (int64_t g = first; g < in.count; ++g) {
        const auto value = Dot::load_floats(values + g * kGroupRows);
        const uint32_t open = ~Dot::less(value, Dot::set(threshold - bounds[g])) & in.masks[g];
        open_rows[found] = open;
        places[found] = g;
        found += open != 0;
    }
    for (int64_t i = 0; i < found; ++i) {
        const int64_t g = places[i];
        const uint32_t open = open_rows[i];
        const auto value = Dot::load_floats(values + g * kGroupRows), wide = Dot::set(bounds[g]);
        Dot::put_some(list.upper + list.size, open, Dot::min(Dot::add(value, wide), Dot::set(Dot::infinity)));
        Dot::put_some(list.lower + list.size, open, Dot::max(Dot::sub(value, wide), Dot::set(-Dot::infinity)));
        Dot::put_ids(list.ids + list.size, open, in.first_id + static_cast<uint32_t>(g * kGroupRows));
        list.size += __builtin_popcount(open);
        if (list.size > limit) return g + 1;
    }
    return in.count;
}

template <class Dot>
int64_t count_rows(const PackedGroups &in, const PackedQueries &queries, int query, const float *values, int64_t first,
                   float low, float high, int64_t limit, int64_t &better, OpenRows &list) {
    float bounds[kPassGroups];
    errors_of<Dot>(in, queries, query, bounds);
    for (int64_t g = first; g < in.count; ++g) {
        const float bound = bounds[g];
        const auto value = Dot::load_floats(values + g * kGroupRows);
        const uint32_t rest = ~Dot::less(value, Dot::set(low - bound)) & in.masks[g];
        if (!rest) continue;
        const uint32_t above = Dot::less(Dot::set(high + bound), value) & rest, open = rest & ~above;
        better += __builtin_popcount(above);
        Dot::put_ids(list.ids + list.size, open, in.first_id + static_cast<uint32_t>(g * kGroupRows));
        list.size += __builtin_popcount(open);
        if (list.size > limit) return g + 1;
    }
    return in.count;
}

// Values from `least` on.
template <class Dot>
[[gnu::always_inline]] inline int64_t count_from(const float *values, int64_t size, float least) {
    int32_t count = 0;  // sizes are below 2^23; a vector of these holds as many as one of floats
    for (int64_t i = 0; i < size; ++i) count += values[i] >= least;
    return count;
}

// Counting is many times faster than partial sorting, whose branches nothing predicts.
template <class Dot>
float reached_by(const float *values, int64_t size, int64_t k) {
    constexpr float infinity = std::numeric_limits<float>::infinity();
    // Side by side, for a loop of comparisons of one number after the other is no vector's.
    float lows[kGroupRows], highs[kGroupRows];
    for (int lane = 0; lane < kGroupRows; ++lane) lows[lane] = infinity, highs[lane] = -infinity;
    for (int64_t i = 0; i < size; i += kGroupRows) {
        const int64_t count = size - i < kGroupRows ? size - i : kGroupRows;
        const auto see = [&](int64_t lane) __attribute__((always_inline)) {
            const float value = values[i + lane];
            lows[lane] = value > -infinity && value < lows[lane] ? value : lows[lane];
            highs[lane] = value > highs[lane] ? value : highs[lane];
        };
        if (count == kGroupRows) {
            for (int lane = 0; lane < kGroupRows; ++lane) see(lane);
        } else {
            for (int64_t lane = 0; lane < count; ++lane) see(lane);
        }
    }
    float low = lows[0], high = highs[0];
    for (int lane = 1; lane < kGroupRows; ++lane) {
        low = lows[lane] < low ? lows[lane] : low;
        high = highs[lane] > high ? highs[lane] : high;
    }
    if (count_from<Dot>(values, size, low) < k) return -infinity;
    for (int step = 0; step < 8; ++step) {
        const float middle = low + (high - low) * 0.5f;
        if (count_from<Dot>(values, size, middle) >= k) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

// Of 1, 2, ... queries.
template <class Dot>
using ScoresOfQueries = std::array<ScoreGroups, Dot::queries>;

template <class Dot, int... Less>
constexpr ScoresOfQueries<Dot> scores_of_queries(std::integer_sequence<int, Less...>) {
    return {{score_groups<Dot, Less + 1>...}};
}

template <class Dot>
PackedPass packed_pass(int query_codes, double word_cost) {
    static_assert(kTileGroups % Dot::groups == 0 && Dot::queries <= kMaxPackedQueries, "more than there is room for");
    static constexpr auto score = scores_of_queries<Dot>(std::make_integer_sequence<int, Dot::queries>());
    return {score.data(), Dot::queries, select_rows<Dot>, count_rows<Dot>, reached_by<Dot>, query_codes, word_cost};
}

}  // namespace mmkg
