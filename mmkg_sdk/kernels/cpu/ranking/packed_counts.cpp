// Rank mode over the packed copy: rows whose bounds leave it open are settled.
#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <vector>

#include "common/aligned.h"
#include "common/float_mode.h"
#include "ranking/rank_counts.h"
#include "table/walk.h"

namespace mmkg {

namespace {

constexpr int64_t kPairs = 64;                        // settled at a time
constexpr int64_t kSlots = kGroupRows;  // what a pass may add beyond that
constexpr int64_t kTileRows = kTileGroups * kGroupRows;
// Of a coordinate that is settled, against one of the first pass over the table itself: with many queries, which settle
// the same rows while they are in the cache, and with few (AMD EPYC, 12,842 and 100,000 rows of 256).
constexpr int64_t kManyQueries = 64;
constexpr double kSettledCost = 4.5, kSettledCostOfFew = 7.0;
// One tile in so many is in the sample, so that it costs little; of large tables not many more than these.
constexpr int64_t kSampleStep = 16, kSampleTiles = 32;

// Values of a panel's queries, as PackedPass::count takes them.
struct Cuts {
    float low[kMaxPackedQueries], high[kMaxPackedQueries];
};

std::vector<Cuts> cuts_of(const RankTask &task, const PackedBatch &queries) {
    std::vector<Cuts> cuts(queries.panels());
    Cuts *own = cuts.data();
    for (const PackedQueries &panel : queries) {
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
          ids_(task.batch * (kPairs + kSlots)),
          values_(kMaxPackedQueries * kPassRows) {
        for (int64_t i = 0; i < task.batch; ++i) lists_[i] = {ids_.data() + i * (kPairs + kSlots), 0};
    }
    CountsOfPart(const CountsOfPart &) = delete;
    CountsOfPart &operator=(const CountsOfPart &) = delete;

    // Groups from first up to end.
    void scan(const PackedTable &table, int64_t first, int64_t end) {
        const PackedPass &pass = task_.scan.set.packed[table.storage()];
        const Cuts *cuts = cuts_.data();
        for (const PackedQueries &panel : queries_) {
            for (int64_t at = first; at < end; at += kPassGroups) {
                const PackedGroups groups = table.part(at, std::min(at + kPassGroups, end), nullptr);
                pass.score[panel.count - 1](groups, panel, values_.data());
                for (int lane = 0; lane < panel.count; ++lane) {
                    const int64_t query = panel.first + lane;
                    const float *values = values_.data() + lane * kPassRows;
                    for (int64_t group = 0; group < groups.count;) {
                        group = pass.count(groups, panel, lane, values, group, cuts->low[lane], cuts->high[lane],
                                           kPairs, better_[query], lists_[query]);
                        if (lists_[query].size > kPairs) settle(query);
                    }
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
    Aligned<float> values_;  // of a panel and as many rows as a pass has
};

// Whether the copy is faster than the table, as a sample of the rows has it: too many rows may lie within the error of
// targets in the middle of the scores, and all of them have to be settled.
bool pays(const RankTask &task, const PackedBatch &queries, const std::vector<Cuts> &cuts, Pool::Lease &lease) {
    const mmkg_scan &scan = task.scan;
    const PackedTable &table = *scan.packed;
    const int64_t tiles = table.groups() / kTileGroups, step = std::max(kSampleStep, tiles / kSampleTiles);
    const int64_t pairs = (tiles + step - 1) / step * kTileRows * task.batch;
    const int parts = parts_of(lease, table.cost(pairs), queries.panels());
    std::vector<int64_t> open(parts, 0);
    lease.run(parts, [&](int part) {
        const FloatMode here;
        Aligned<float> values(kMaxPackedQueries * kPassRows);
        const int64_t end = part_start(queries.panels(), 1, part + 1, parts);
        for (int64_t p = part_start(queries.panels(), 1, part, parts); p < end; ++p) {
            const PackedQueries &panel = queries.begin()[p];
            const PackedPass &pass = scan.set.packed[table.storage()];
            for (int64_t tile = 0; tile < tiles; tile += step) {
                const PackedGroups groups = table.part(tile * kTileGroups, (tile + 1) * kTileGroups, nullptr);
                pass.score[panel.count - 1](groups, panel, values.data());
                for (int lane = 0; lane < panel.count; ++lane) {
                    uint32_t ids[kTileRows + kSlots];
                    int64_t better = 0;
                    OpenRows list{ids, 0};
                    pass.count(groups, panel, lane, values.data() + lane * kPassRows, 0, cuts[p].low[lane],
                               cuts[p].high[lane], kTileRows, better, list);
                    open[part] += list.size;
                }
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
    const int64_t tile_bytes = kTileRows * task.scan.width * int64_t{sizeof(float)};
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
