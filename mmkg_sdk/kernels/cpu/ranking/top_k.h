// What mmkg_top_k does with arguments that were checked.
#pragma once

#include <cstdint>

#include "common/pool.h"
#include "ranking/shortlists.h"
#include "table/walk.h"

namespace mmkg {

// Answers of query i from i * k on, counts[i] of them.
struct TopKFound {
    int64_t *ids;
    float *scores;
    int64_t *counts;
};

// Throws if they are not ascending rows of the table.
void check_candidates(const Candidates &rows, int64_t table_rows);

// report: null, or written. In FloatMode.
void top_k(const TopKTask &task, const Candidates &rows, Pool::Lease &lease, const TopKFound &found,
           mmkg_top_k_report *report);

}  // namespace mmkg
