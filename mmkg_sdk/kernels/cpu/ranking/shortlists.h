// Rows that may be among the best, by a first pass over the packed table, settled only where their bounds leave it
// open.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "common/aligned.h"
#include "ranking/keys.h"
#include "table/packed.h"
#include "table/scan.h"

namespace mmkg {

// What mmkg_top_k was asked.
struct TopKTask {
    const mmkg_scan &scan;
    const float *queries;
    int64_t batch, k;
    AnswerLists excluded;

    const float *query(int64_t i) const { return queries + i * scan.width; }
};

// Those of one part of the rows, for every query. A list that fills up raises its threshold to the k-th best lower
// bound and drops what lies below; if too much is left, it is settled. So a list needs memory for a small multiple of
// k.
class Shortlists {
public:
    Shortlists(const TopKTask &task, const PackedBatch &queries);

    // Scores groups from first up to end; masks as in PackedTable::part.
    void scan(const PackedTable &table, int64_t first, int64_t end, const uint16_t *masks);

    // Settles what the lists of all parts leave open and writes the keys of the best k, in no order; gives the number
    // of rows that were settled in all.
    static int64_t settle(std::vector<std::unique_ptr<Shortlists>> &parts, int64_t query, std::vector<uint64_t> &keys);

private:
    struct Open {
        float upper;
        uint32_t id;
    };

    const PackedPass &pass() const { return task_.scan.set.packed[task_.scan.packed->storage()]; }
    void begin(int64_t query, const PackedGroups &groups, const PackedQueries &panel, const float *values);
    void tighten(int64_t query);
    void drop_excluded(int64_t query);
    void drop_below(int64_t query, float threshold);
    float settle_open(int64_t query, std::vector<Open> &open, std::vector<uint64_t> &keys);
    void settle_rows(int64_t query, const Open *open, int64_t count, std::vector<uint64_t> &keys);
    float cut(int64_t query, std::vector<uint64_t> &keys) const;

    const TopKTask &task_;
    const PackedBatch &batch_;
    const int64_t limit_;
    std::vector<Shortlist> lists_;
    std::unique_ptr<float[]> uppers_, lowers_;
    std::unique_ptr<uint32_t[]> ids_;
    std::vector<float> thresholds_;
    Aligned<float> values_;  // of a panel and as many rows as a pass has
    std::vector<float> units_;
    std::vector<std::vector<uint64_t>> keys_;  // of settled rows
    std::vector<int64_t> settled_;
};

}  // namespace mmkg
