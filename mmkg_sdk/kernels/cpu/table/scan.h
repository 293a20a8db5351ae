// A table and how it is scored; what mmkg_top_k and mmkg_ranks share.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "common/pool.h"
#include "common/status.h"
#include "scoring/instruction_set.h"
#include "table/bounds.h"
#include "table/packed.h"

struct mmkg_pool {
    explicit mmkg_pool(int threads) : pool(threads) {}
    mmkg::Pool pool;
};

struct mmkg_scan {
    mmkg_scan(const float *table_, int64_t rows_, int64_t width_, int score_, float margin_,
              const mmkg::InstructionSet &set_, int storage, mmkg::Pool &pool_);

    // Canonical scores, here and below: of queries and rows that lie one after the other, [num_queries, count].
    void exact_rows(const float *queries, int64_t num_queries, const float *first_row, int64_t count,
                    float *scores) const {
        set.exact_rows[score]({queries, num_queries, first_row, count, width, margin}, scores);
    }
    void exact_pairs(const float *const *queries, const float *const *rows_of, int64_t count, float *scores) const {
        set.exact_pairs[score]({queries, rows_of, count, width, margin}, scores);
    }
    void exact_chosen(const float *query, const float *const *rows_of, int64_t count, float *scores) const {
        set.exact_chosen[score]({query, rows_of, count, width, margin}, scores);
    }
    float exact_one(const float *query, const float *row) const {
        float found;
        exact_pairs(&query, &row, 1, &found);
        return found;
    }
    float exact_one(const float *query, int64_t id) const { return exact_one(query, table + id * width); }

    const float *const table;
    const int64_t rows, width;
    const int score;
    const float margin;
    const mmkg::InstructionSet &set;
    mmkg::Pool &pool;
    const mmkg::Bounds bounds;
    std::vector<float> norms;  // at least that of each row; empty for distances

    // What first passes read; null: the table itself.
    std::unique_ptr<mmkg::PackedTable> packed;

    // Of scoring pairs of a query and a row of the table, in coordinates of an inner product.
    double cost(int64_t pairs) const;

private:
    int chosen_storage(int storage) const;
};

namespace mmkg {

// Answers per query, or none: those of query i are ids[offsets[i]] up to ids[offsets[i + 1]], strictly ascending.
struct AnswerLists {
    const int64_t *offsets, *ids;

    void check(int64_t batch, int64_t rows, const char *wrong) const;
    const int64_t *begin(int64_t query) const { return offsets ? ids + offsets[query] : nullptr; }
    const int64_t *end(int64_t query) const { return offsets ? ids + offsets[query + 1] : nullptr; }
    bool hold(int64_t query, int64_t id) const;
    AnswerLists from(int64_t query) const { return {offsets ? offsets + query : nullptr, ids}; }
};

void check_queries(const mmkg_scan *scan, const float *queries, int64_t batch);

// Into how many parts to split some items that cost so much (see mmkg_scan::cost): waking a thread must pay.
int parts_of(const Pool::Lease &lease, double cost, int64_t items);

// Item at which a part begins, on a multiple of `step`.
inline int64_t part_start(int64_t items, int64_t step, int part, int parts) {
    const int64_t steps = (items + step - 1) / step;
    const int64_t start = steps * part / parts * step;
    return start < items ? start : items;
}

}  // namespace mmkg
