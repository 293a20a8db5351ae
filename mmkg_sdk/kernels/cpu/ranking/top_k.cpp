// The k best of each query: every part of the rows keeps its own lists, which are merged at the end.
#include "ranking/top_k.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <vector>

#include "common/float_mode.h"
#include "ranking/keys.h"

namespace mmkg {

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
// The packed copy is read from end to end; for fewer rows than one in so many the table itself is faster.
constexpr int64_t kSparse = 4;
// With so many queries a thread is busy long enough to read the whole copy; then threads share queries, not rows, and
// every query has one list instead of several.
constexpr int64_t kManyQueries = 24;

// The best answers so far of one part of the rows: per query up to 2 k, cut to the k best whenever so many have come.
// That costs a few comparisons an answer, a heap several mispredicted branches.
class BestOfPart {
public:
    BestOfPart(const mmkg_scan &scan, const Panels &panels, int64_t batch, int64_t k, AnswerLists excluded)
        : scan_(scan),
          k_(k),
          excluded_(excluded),
          keys_(new uint64_t[2 * batch * k]),
          sizes_(batch, 0),
          kth_(batch, 0),
          worst_(batch, -kInfinity),
          lane_(batch, -1),
          low_(panels.lanes(), kInfinity),
          settled_(batch, 0) {
        for (const Panel &panel : panels) {
            if (!panel.kernel) continue;
            for (int lane = 0; lane < panel.count; ++lane) {
                lane_[panel.first + lane] = panel.first_lane + lane;
                low_[panel.first_lane + lane] = -kInfinity;
            }
        }
    }

    int tile(const Panel &panel, Tile &tile, Hit *hits) const {
        tile.low = low_.data() + panel.first_lane;
        return panel.kernel->select(tile, hits);
    }

    void settle(int64_t query, int64_t id, float score) {
        ++settled_[query];
        if (score < worst_[query]) return;
        offer(query, id, score);
    }

    const uint64_t *begin(int64_t query) const { return keys_.get() + 2 * query * k_; }
    const uint64_t *end(int64_t query) const { return begin(query) + sizes_[query]; }
    int64_t settled(int64_t query) const { return settled_[query]; }

private:
    void offer(int64_t query, int64_t id, float score) {
        if (std::isnan(score)) throw NotANumber();
        if (score == -kInfinity) return;
        const uint64_t key = key_of(score, id);
        if (key < kth_[query] || excluded_.hold(query, id)) return;
        keys_[2 * query * k_ + sizes_[query]++] = key;
        if (sizes_[query] == 2 * k_) cut(query);
    }

    void cut(int64_t query) {
        uint64_t *keys = keys_.get() + 2 * query * k_;
        std::nth_element(keys, keys + k_ - 1, keys + 2 * k_, std::greater<>());
        sizes_[query] = k_;
        kth_[query] = keys[k_ - 1];
        worst_[query] = score_of(kth_[query]);
        if (lane_[query] >= 0) low_[lane_[query]] = scan_.bounds.low(worst_[query]);
    }

    const mmkg_scan &scan_;
    const int64_t k_;
    const AnswerLists excluded_;
    std::unique_ptr<uint64_t[]> keys_;
    std::vector<int64_t> sizes_;
    std::vector<uint64_t> kth_;  // the k-th best of the last cut; 0 before
    std::vector<float> worst_;   // its score; -inf before
    std::vector<int64_t> lane_;  // of each query; -1: not in a tile
    std::vector<float> low_;     // per lane, see Tile; lanes without a query never hit
    std::vector<int64_t> settled_;
};

// The part's blocks, each after its first piece: a sample from all over the part raises the thresholds before the rest
// is seen, in whatever order the rows are (some tables are sorted by how well-known an entity is).
template <class Visit>
void sample_first(int64_t first, int64_t end, int64_t block, int64_t piece, Visit visit) {
    for (int64_t at = first; at < end; at += block) visit(at, std::min(at + piece, end));
    for (int64_t at = first; at < end; at += block) visit(std::min(at + piece, end), std::min(at + block, end));
}

// Where answers go: query i has places from i * stride.
struct Answers {
    int64_t *ids;
    float *scores;
    int64_t stride;
    int64_t *counts;
    int64_t *settled;

    Answers from(int64_t query) const {
        return {ids + query * stride, scores + query * stride, stride, counts + query, settled + query};
    }
};

// merge(query, keys) gives keys of the best and maybe others, and how many rows were settled for them.
template <class Merge>
void write_answers(const TopKTask &task, Pool::Lease *lease, const Answers &to, Merge merge) {
    const int shares = lease && task.k * task.batch > 4096 ? lease->threads() : 1;
    const auto write = [&](int part) {
        const FloatMode here;
        std::vector<uint64_t> keys;
        const int64_t end = part_start(task.batch, 1, part + 1, shares);
        for (int64_t i = part_start(task.batch, 1, part, shares); i < end; ++i) {
            to.settled[i] = merge(i, keys);
            to.counts[i] = write_best(keys, task.k, to.ids + i * to.stride, to.scores + i * to.stride);
        }
    };
    if (shares == 1) {
        write(0);
    } else {
        lease->run(shares, write);
    }
}

// Gives the number of queries that had a first pass.
int64_t top_k_of_table(const TopKTask &task, const Candidates &rows, Pool::Lease &lease, const Answers &to) {
    const mmkg_scan &scan = task.scan;
    const Panels panels(scan, task.queries, task.batch);
    const int64_t tile = scan.set.tile_rows[scan.score], block = Walk<BestOfPart>::block_rows(scan);
    const int count = parts_of(lease, scan.cost(rows.count * task.batch), (rows.count + tile - 1) / tile);
    std::vector<std::unique_ptr<BestOfPart>> parts(count);
    lease.run(count, [&](int part) {
        const FloatMode here;
        parts[part] = std::make_unique<BestOfPart>(scan, panels, task.batch, task.k, task.excluded);
        Walk<BestOfPart> walk(scan, panels, task.queries, rows, *parts[part]);
        sample_first(part_start(rows.count, tile, part, count), part_start(rows.count, tile, part + 1, count), block,
                     tile, [&](int64_t first, int64_t end) { walk.rows(first, end); });
    });
    write_answers(task, &lease, to, [&](int64_t query, std::vector<uint64_t> &keys) {
        keys.clear();
        int64_t settled = 0;
        for (const auto &part : parts) {
            keys.insert(keys.end(), part->begin(query), part->end(query));
            settled += part->settled(query);
        }
        return settled;
    });
    int64_t bounded = 0;
    for (const Panel &panel : panels) bounded += panel.kernel ? panel.count : 0;
    return bounded;
}

// masks: see PackedTable::part; lease: null to stay on this thread.
void top_k_of_packed(const TopKTask &task, const uint16_t *masks, Pool::Lease *lease, const Answers &to) {
    const mmkg_scan &scan = task.scan;
    const PackedTable &table = *scan.packed;
    const PackedBatch queries(scan, table, task.queries, task.batch);
    const int64_t block = std::max<int64_t>(2, kBlockBytes / table.tile_bytes()) * kTileGroups;
    const int64_t piece = std::min(block, kPassGroups);
    const double cost = table.cost(scan.rows * task.batch);
    const int count = lease ? parts_of(*lease, cost, table.groups() / kTileGroups) : 1;
    std::vector<std::unique_ptr<Shortlists>> parts(count);
    const auto scan_part = [&](int part) {
        const FloatMode here;
        parts[part] = std::make_unique<Shortlists>(task, queries);
        sample_first(part_start(table.groups(), kTileGroups, part, count),
                     part_start(table.groups(), kTileGroups, part + 1, count), block, piece,
                     [&](int64_t first, int64_t end) { parts[part]->scan(table, first, end, masks); });
    };
    if (count == 1) {
        scan_part(0);
    } else {
        lease->run(count, scan_part);
    }
    write_answers(task, lease, to, [&](int64_t query, std::vector<uint64_t> &keys) {
        return Shortlists::settle(parts, query, keys);
    });
}

void top_k_of_packed(const TopKTask &task, const Candidates &rows, Pool::Lease &lease, const Answers &to) {
    std::vector<uint16_t> masks(rows.ids ? task.scan.packed->groups() : 0);
    for (int64_t i = 0; rows.ids && i < rows.count; ++i) {
        masks[rows.ids[i] / kGroupRows] |= static_cast<uint16_t>(1u << rows.ids[i] % kGroupRows);
    }
    const uint16_t *asked = rows.ids ? masks.data() : nullptr;
    const int threads = parts_of(lease, task.scan.packed->cost(task.scan.rows * task.batch), task.batch / kManyQueries);
    if (threads == 1) return top_k_of_packed(task, asked, &lease, to);
    lease.run(threads, [&](int part) {
        const FloatMode here;
        const int64_t first = part_start(task.batch, 1, part, threads);
        const int64_t end = part_start(task.batch, 1, part + 1, threads);
        const TopKTask own{task.scan, task.query(first), end - first, task.k, task.excluded.from(first)};
        top_k_of_packed(own, asked, nullptr, to.from(first));
    });
}

}  // namespace

void check_candidates(const Candidates &rows, int64_t table_rows) {
    require(rows.count >= 0, "num_candidates is negative");
    for (int64_t i = 0; rows.ids && i < rows.count; ++i) {
        const int64_t before = i ? rows.ids[i - 1] : -1;
        const bool fits = rows.ids[i] > before && rows.ids[i] < table_rows;
        require(fits, "candidates are not ascending or out of range");
    }
}

void top_k(const TopKTask &asked, const Candidates &rows, Pool::Lease &lease, const TopKFound &found,
           mmkg_top_k_report *report) {
    std::fill(found.counts, found.counts + asked.batch, 0);
    if (report) *report = {0, 0, 0, 0};
    if (!asked.batch || !rows.count) return;

    const mmkg_scan &scan = asked.scan;
    const TopKTask task{scan, asked.queries, asked.batch, std::min(asked.k, rows.count), asked.excluded};
    std::vector<int64_t> settled_rows(task.batch);
    const Answers answers{found.ids, found.scores, asked.k, found.counts, settled_rows.data()};
    const bool packed = scan.packed && rows.count >= scan.rows / kSparse;
    int64_t bounded = task.batch;
    if (packed) {
        top_k_of_packed(task, rows, lease, answers);
    } else {
        bounded = top_k_of_table(task, rows, lease, answers);
    }
    if (!report) return;
    report->bounded = bounded * rows.count;
    for (const int64_t settled : settled_rows) {
        report->settled += settled;
        report->most_settled = std::max(report->most_settled, settled);
        report->few_settled += settled <= MMKG_FEW_SETTLED * asked.k;
    }
}

}  // namespace mmkg

mmkg_status mmkg_top_k(const mmkg_scan *scan, const float *queries, int64_t batch, int64_t k,
                       const int64_t *excluded_offsets, const int64_t *excluded_ids, const int64_t *candidates,
                       int64_t num_candidates, int64_t *ids, float *scores, int64_t *counts,
                       mmkg_top_k_report *report) {
    using namespace mmkg;
    return guarded([&] {
        check_queries(scan, queries, batch);
        require(k >= 1 && k <= MMKG_MAX_K, "k is not from 1 to 2^20");
        require((ids && scores && counts) || batch == 0, "ids, scores or counts is NULL");
        const AnswerLists excluded{excluded_offsets, excluded_ids};
        excluded.check(batch, scan->rows, "excluded ids are not ascending or out of range, or their offsets are wrong");
        const Candidates rows{candidates, candidates ? num_candidates : scan->rows};
        check_candidates(rows, scan->rows);
        const FloatMode mode;
        Pool::Lease lease(scan->pool);
        top_k({*scan, queries, batch, k, excluded}, rows, lease, {ids, scores, counts}, report);
    });
}
