// The first pass over a packed copy of the table: rows in the lanes of a vector, a few queries at a time.
#pragma once

#include <cstdint>

namespace mmkg {

// Rows of a group lie side by side: the first words of all of them, then the second words, ... so that a group is read
// from end to end whatever the number of queries, and no sum goes across lanes.
constexpr int kGroupRows = 16;
constexpr uint16_t kAllRows = 0xFFFF;
constexpr int kTileGroups = 2;           // scored at once, at the most
constexpr int kMaxPackedQueries = 12;    // at once, of any instruction set; so many sums stay in registers
constexpr int64_t kPassGroups = 32;      // whose values are kept before they are looked at
constexpr int64_t kPassRows = kPassGroups * kGroupRows;
constexpr int64_t kPlacesStep = 2;       // the number of words of a vector is a multiple of it

// Of the rows of a group: at least their norms, and the norms of what rounding took away.
struct GroupBound {
    float norm, lost;
};

// Rows that may be among the best of a query, with bounds of their values: score / unit of the query.
struct Shortlist {
    float *upper, *lower;
    uint32_t *ids;
    int64_t size;
};

// Queries that are scored at once. The canonical score of a row and its value, which the pass computes, differ by at
// most norm * norm_slope + lost * lost_slope + constant, in units of the query.
struct alignas(64) PackedQueries {
    const uint32_t *words;      // the first words of all of them, then the second words, ...
    int32_t start[kGroupRows];  // what sums begin with, see simd/int8.h
    float norm_slope[kGroupRows], lost_slope[kGroupRows], constant[kGroupRows];
    float unit[kGroupRows];
    int64_t first;  // query
    int count;
};

// Rows that the first pass of rank mode cannot decide for a query.
struct OpenRows {
    uint32_t *ids;
    int64_t size;
};

// Consecutive groups, an even number of them.
struct PackedGroups {
    const uint32_t *words;
    int64_t places;           // words of a vector
    const float *scales;      // per row; not read for bfloat16
    const GroupBound *bounds; // per group
    const uint16_t *masks;    // per group: the rows that are asked for
    uint32_t first_id;
    int64_t count;
};

// Values of all rows for each query of the panel; those of query q begin at values + q * kPassRows. `in` has at most
// kPassGroups groups.
using ScoreGroups = void (*)(const PackedGroups &in, const PackedQueries &queries, float *values);

// The first pass of one instruction set over one kind of copy. Lists hold kGroupRows more than `limit`; `select` and
// `count` take the values of one query from group `first` on, and give the group after the last that was done: all, or
// those up to the first that made the list longer than `limit`.
struct PackedPass {
    const ScoreGroups *score;  // of 1, 2, ... `queries` queries; null where the set has no such pass
    int queries;
    // Puts every row on the list that may reach the threshold.
    int64_t (*select)(const PackedGroups &, const PackedQueries &, int query, const float *values, int64_t first,
                      float threshold, int64_t limit, Shortlist &list);
    // Adds rows whose values are above `high`, whatever the error, to `better`, and puts those that are not below `low`
    // either on the list.
    int64_t (*count)(const PackedGroups &, const PackedQueries &, int query, const float *values, int64_t first,
                     float low, float high, int64_t limit, int64_t &better, OpenRows &list);
    // A number that at least k of the values reach, close to the largest one; -inf if there are not so many finite ones.
    float (*reached_by)(const float *values, int64_t size, int64_t k);
    int query_codes;   // int8: codes of queries go from minus this to this, see simd/int8.h
    double word_cost;  // of a word and a query, against a float's
};

// How far the value of a row of the group may be from its canonical score.
inline float error_of(const PackedQueries &queries, int query, GroupBound group) {
    return queries.norm_slope[query] * group.norm + (queries.lost_slope[query] * group.lost + queries.constant[query]);
}

}  // namespace mmkg
