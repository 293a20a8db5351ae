// Rank mode over the packed copy: rows whose bounds leave it open are settled.
#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>

#include "float_mode.h"
#include "rank_counts.h"
#include "walk.h"

namespace mmkg {

namespace {

constexpr int64_t kPairs = 64;                        // settled at a time
constexpr int64_t kSlots = kTileGroups * kGroupRows;  // what a pass may add beyond that

// Those of one part of the rows.
class PackedCounts {
public:
    PackedCounts(const RankTask &task, const PackedBatch &queries)
        : task_(task),
          batch_(queries),
          better_(task.batch, 0),
          settled_(task.batch),
          low_(queries.panels() * kGroupRows, kInfinity),
          high_(queries.panels() * kGroupRows, kInfinity),
          lists_(task.batch),
          ids_(task.batch * (kPairs + kSlots)) {
        for (int64_t i = 0; i < task.batch; ++i) lists_[i] = {ids_.data() + i * (kPairs + kSlots), 0};
        int64_t start = 0;
        for (const PackedQueries &panel : queries) {
            for (int lane = 0; lane < panel.count; ++lane) {
                const float score = task.scores[panel.first + lane], unit = panel.unit[lane];
                low_[start + lane] = task.scan.bounds.packed_low(score, unit);
                high_[start + lane] = task.scan.bounds.packed_high(score, unit);
            }
            start += kGroupRows;
        }
    }

    // Groups from first up to end.
    void scan(const PackedTable &table, int64_t first, int64_t end) {
        const PackedKernel *kernels = task_.scan.set.packed[table.storage()];
        int64_t start = 0;
        for (const PackedQueries &panel : batch_) {
            for (int64_t at = first; at < end;) {
                const PackedGroups left = table.part(at, end, nullptr);
                at += kernels[panel.count - 1].count(left, panel, low_.data() + start, high_.data() + start, kPairs,
                                                     better_.data() + panel.first, lists_.data() + panel.first);
                for (int64_t i = panel.first; i < panel.first + panel.count; ++i) {
                    if (lists_[i].size > kPairs) settle(i);
                }
            }
            start += kGroupRows;
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
    static constexpr float kInfinity = std::numeric_limits<float>::infinity();

    void settle(int64_t query) {
        OpenRows &open = lists_[query];
        const float *rows[kPairs + kSlots];
        float scores[kPairs + kSlots];
        for (int64_t i = 0; i < open.size; ++i) {
            rows[i] = task_.scan.table + int64_t{open.ids[i]} * task_.scan.width;
        }
        task_.scan.exact_chosen(task_.query(query), rows, open.size, scores);
        for (int64_t i = 0; i < open.size; ++i) {
            if (std::isnan(scores[i])) throw NotANumber();
            settled_[query].add(scores[i], task_.scores[query], open.ids[i], task_.targets[query], 1);
        }
        open.size = 0;
    }

    const RankTask &task_;
    const PackedBatch &batch_;
    std::vector<int64_t> better_;  // surely
    std::vector<Counts> settled_;
    std::vector<float> low_, high_;  // kGroupRows for each panel
    std::vector<OpenRows> lists_;
    std::vector<uint32_t> ids_;
};

}  // namespace

std::vector<Counts> packed_counts(const RankTask &task, Pool::Lease &lease) {
    const PackedTable &table = *task.scan.packed;
    const PackedBatch queries(task.scan, table, task.queries, task.batch);
    // Rows to be settled are still in the second-level cache when the next queries come.
    const int64_t tile_bytes = kSlots * task.scan.width * int64_t{sizeof(float)};
    const int64_t block = std::max<int64_t>(2, kBlockBytes / tile_bytes) * kTileGroups;
    const int count = parts_of(lease, table.cost(task.scan.rows * task.batch), table.groups() / kTileGroups);
    std::vector<std::unique_ptr<PackedCounts>> parts(count);
    lease.run(count, [&](int part) {
        const FloatMode here;
        parts[part] = std::make_unique<PackedCounts>(task, queries);
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
