// Rows better than a target and as good as it: what rank mode counts, whatever its first pass reads.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "table/packed.h"
#include "table/scan.h"

namespace mmkg {

struct Counts {
    int64_t better = 0, equal = 0, equal_lower = 0;

    void add(float score, float target_score, int64_t id, int64_t target, int64_t times) {
        better += score > target_score ? times : 0;
        if (score != target_score) return;
        equal += times;
        equal_lower += id < target ? times : 0;
    }
    void add(const Counts &others) {
        better += others.better;
        equal += others.equal;
        equal_lower += others.equal_lower;
    }
};

// Queries, and their right answers with canonical scores. A target below 0 or behind the last row lies in another part
// of the table.
struct RankTask {
    const mmkg_scan &scan;
    const float *queries;
    int64_t batch;
    const int64_t *targets;
    const float *scores;

    const float *query(int64_t i) const { return queries + i * scan.width; }
};

// Counts of all rows, targets among them as equal ones: over the table itself.
std::vector<Counts> table_counts(const RankTask &task, Pool::Lease &lease);

// The same over the packed copy; over the table where that is faster.
std::vector<Counts> packed_counts(const RankTask &task, Pool::Lease &lease);

}  // namespace mmkg
