// Rank mode over the packed copy: rows whose bounds leave it open are settled.
#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>
#include <vector>

#include "common/float_mode.h"
#include "ranking/rank_counts.h"
#include "table/walk.h"

namespace mmkg {

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr int64_t kPairs = 64;                        // settled at a time
constexpr int64_t kSlots = kTileGroups * kGroupRows;  // what a pass may add beyond that
// Of a coordinate that is settled, against one of the first pass over the table itself: with many queries, which settle
// the same rows while they are in the cache, and with few (AMD EPYC, 12,842 and 100,000 rows of 256).
constexpr int64_t kManyQueries = 64;
constexpr double kSettledCost = 4.5, kSettledCostOfFew = 7.0;
// One tile in so many is in the sample, so that it costs little; of large tables not many more than these.
constexpr int64_t kSampleStep = 16, kSampleTiles = 32;

// Values of a panel's queries, as PackedKernel::count takes them.
struct Cuts {
    float low[kGroupRows], high[kGroupRows];
};

std::vector<Cuts> cuts_of(const RankTask &task, const PackedBatch &queries) {
    std::vector<Cuts> cuts(queries.panels());
    Cuts *own = cuts.data();
    for (const PackedQueries &panel : queries) {
        std::fill(own->low, own->low + kGroupRows, kInfinity);
        std::fill(own->high, own->high + kGroupRows, kInfinity);
        for (int lane = 0; lane < panel.count; ++lane) {
            const float score = task.scores[panel.first + lane];
            own->low[lane] = task.scan.bounds.packed_low(score, panel.unit[lane]);
            own->high[lane] = task.scan.bounds.packed_high(score, panel.unit[lane]);
        }
        ++own;
    }
    return cuts;
}

// Counts of one part of the rows.
class CountsOfPart {
public:
    CountsOfPart(const RankTask &task, const PackedBatch &queries, const std::vector<Cuts> &cuts)
        : task_(task),
          queries_(queries),
          cuts_(cuts),
          better_(task.batch, 0),
          settled_(task.batch),
          lists_(task.batch),
          ids_(task.batch * (kPairs + kSlots)) {
        for (int64_t i = 0; i < task.batch; ++i) lists_[i] = {ids_.data() + i * (kPairs + kSlots), 0};
    }
    CountsOfPart(const CountsOfPart &) = delete;
    CountsOfPart &operator=(const CountsOfPart &) = delete;

    // Groups from first up to end.
    void scan(const PackedTable &table, int64_t first, int64_t end) {
        const PackedKernel *kernels = task_.scan.set.packed[table.storage()].kernels;
        const Cuts *cuts = cuts_.data();
        for (const PackedQueries &panel : queries_) {
            for (int64_t at = first; at < end;) {
                const PackedGroups left = table.part(at, end, nullptr);
                at += kernels[panel.count - 1].count(left, panel, cuts->low, cuts->high, kPairs,
                                                     better_.data() + panel.first, lists_.data() + panel.first);
                for (int64_t i = panel.first; i < panel.first + panel.count; ++i) {
                    if (lists_[i].size > kPairs) settle(i);
                }
            }
            ++cuts;
        }
    }

    void settle_rest() {
        for (int64_t i = 0; i < task_.batch; ++i) settle(i);
    }

    // Adds these counts to those of all rows.
    void add_to(std::vector<Counts> &all) const {
        for (int64_t i = 0; i < task_.batch; ++i) {
            all[i].add(settled_[i]);
            all[i].better += better_[i];
        }
    }

private:
    void settle(int64_t query) {
        OpenRows &open = lists_[query];
        const float *rows[kPairs + kSlots];
        float scores[kPairs + kSlots];
        for (int64_t i = 0; i < open.size; ++i) rows[i] = task_.scan.table + int64_t{open.ids[i]} * task_.scan.width;
        task_.scan.exact_chosen(task_.query(query), rows, open.size, scores);
        const float target_score = task_.scores[query];
        const int64_t target = task_.targets[query];
        Counts found;
        bool wrong = false;
        for (int64_t i = 0; i < open.size; ++i) {
            wrong |= std::isnan(scores[i]);
            found.add(scores[i], target_score, open.ids[i], target, 1);
        }
        if (wrong) throw NotANumber();
        settled_[query].add(found);
        open.size = 0;
    }

    const RankTask &task_;
    const PackedBatch &queries_;
    const std::vector<Cuts> &cuts_;
    std::vector<int64_t> better_;  // surely
    std::vector<Counts> settled_;
    std::vector<OpenRows> lists_;
    std::vector<uint32_t> ids_;
};

// Whether the copy is faster than the table, as a sample of the rows has it: too many rows may lie within the error of
// targets in the middle of the scores, and all of them have to be settled.
bool pays(const RankTask &task, const PackedBatch &queries, const std::vector<Cuts> &cuts, Pool::Lease &lease) {
    const mmkg_scan &scan = task.scan;
    const PackedTable &table = *scan.packed;
    const int64_t tiles = table.groups() / kTileGroups, step = std::max(kSampleStep, tiles / kSampleTiles);
    const int64_t pairs = (tiles + step - 1) / step * kSlots * task.batch;
    const int parts = parts_of(lease, table.cost(pairs), queries.panels());
    std::vector<int64_t> open(parts, 0);
    lease.run(parts, [&](int part) {
        const FloatMode here;
        const int64_t end = part_start(queries.panels(), 1, part + 1, parts);
        for (int64_t p = part_start(queries.panels(), 1, part, parts); p < end; ++p) {
            const PackedQueries &panel = queries.begin()[p];
            const PackedKernel &kernel = scan.set.packed[table.storage()].kernels[panel.count - 1];
            for (int64_t tile = 0; tile < tiles; tile += step) {
                uint32_t ids[kMaxPackedQueries][kSlots];
                int64_t better[kMaxPackedQueries] = {};
                OpenRows lists[kMaxPackedQueries];
                for (int i = 0; i < panel.count; ++i) lists[i] = {ids[i], 0};
                const PackedGroups groups = table.part(tile * kTileGroups, (tile + 1) * kTileGroups, nullptr);
                kernel.count(groups, panel, cuts[p].low, cuts[p].high, kSlots, better, lists);
                for (int i = 0; i < panel.count; ++i) open[part] += lists[i].size;
            }
        }
    });
    const int64_t settled = std::accumulate(open.begin(), open.end(), int64_t{0});
    const double cost = task.batch >= kManyQueries ? kSettledCost : kSettledCostOfFew;
    return table.cost(pairs) + cost * scan.cost(settled) <= scan.cost(pairs);
}

}  // namespace

std::vector<Counts> packed_counts(const RankTask &task, Pool::Lease &lease) {
    const PackedTable &table = *task.scan.packed;
    const PackedBatch queries(task.scan, table, task.queries, task.batch);
    const std::vector<Cuts> cuts = cuts_of(task, queries);
    if (!pays(task, queries, cuts, lease)) return table_counts(task, lease);
    // Rows to be settled are still in the second-level cache when the next queries come.
    const int64_t tile_bytes = kSlots * task.scan.width * int64_t{sizeof(float)};
    const int64_t block = std::max<int64_t>(2, kBlockBytes / tile_bytes) * kTileGroups;
    const int count = parts_of(lease, table.cost(task.scan.rows * task.batch), table.groups() / kTileGroups);
    std::vector<std::unique_ptr<CountsOfPart>> parts(count);
    lease.run(count, [&](int part) {
        const FloatMode here;
        parts[part] = std::make_unique<CountsOfPart>(task, queries, cuts);
        const int64_t end = part_start(table.groups(), kTileGroups, part + 1, count);
        for (int64_t at = part_start(table.groups(), kTileGroups, part, count); at < end; at += block) {
            parts[part]->scan(table, at, std::min(at + block, end));
        }
        parts[part]->settle_rest();
    });
    std::vector<Counts> all(task.batch);
    for (const auto &part : parts) part->add_to(all);
    return all;
}

}  // namespace mmkg
