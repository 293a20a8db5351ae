// Rank mode over the table itself.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "common/float_mode.h"
#include "ranking/rank_counts.h"
#include "table/walk.h"

namespace mmkg {

namespace {

// Values that are sure to be below or above the targets', per lane of panels; see Tile.
struct Cuts {
    std::vector<float> low, high;
};

Cuts cuts_of(const RankTask &task, const Panels &panels) {
    constexpr float infinity = std::numeric_limits<float>::infinity();
    Cuts cuts{std::vector<float>(panels.lanes(), infinity), std::vector<float>(panels.lanes(), infinity)};
    for (const Panel &panel : panels) {
        for (int lane = 0; panel.kernel && lane < panel.count; ++lane) {
            const float score = task.scores[panel.first + lane];
            cuts.low[panel.first_lane + lane] = task.scan.bounds.low(score);
            cuts.high[panel.first_lane + lane] = task.scan.bounds.high(score);
        }
    }
    return cuts;
}

// Of one part of the rows.
class CountsOfPart {
public:
    CountsOfPart(const RankTask &task, const Panels &panels, const Cuts &cuts)
        : task_(task), panels_(panels), cuts_(cuts), counts_(task.batch), sure_(panels.lanes(), 0) {}

    int tile(const Panel &panel, Tile &tile, Hit *hits) {
        tile.low = cuts_.low.data() + panel.first_lane;
        tile.high = cuts_.high.data() + panel.first_lane;
        return panel.kernel->count(tile, sure_.data() + panel.first_lane, hits);
    }

    void settle(int64_t query, int64_t id, float score) {
        if (std::isnan(score)) throw NotANumber();
        counts_[query].add(score, task_.scores[query], id, task_.targets[query], 1);
    }

    // Adds this part's counts to those of all rows.
    void add_to(std::vector<Counts> &all) const {
        for (size_t i = 0; i < all.size(); ++i) all[i].add(counts_[i]);
        for (const Panel &panel : panels_) {
            for (int lane = 0; panel.kernel && lane < panel.count; ++lane) {
                all[panel.first + lane].better += sure_[panel.first_lane + lane];
            }
        }
    }

private:
    const RankTask &task_;
    const Panels &panels_;
    const Cuts &cuts_;
    std::vector<Counts> counts_;
    std::vector<int32_t> sure_;  // better ones of each lane, by the first pass
};

}  // namespace

std::vector<Counts> table_counts(const RankTask &task, Pool::Lease &lease) {
    const mmkg_scan &scan = task.scan;
    const Panels panels(scan, task.queries, task.batch);
    const Cuts cuts = cuts_of(task, panels);
    const int64_t tile = scan.set.tile_rows[scan.score];
    const int64_t block = Walk<CountsOfPart>::block_rows(scan);
    const int count = parts_of(lease, scan.cost(scan.rows * task.batch), (scan.rows + tile - 1) / tile);
    std::vector<CountsOfPart> parts(count, CountsOfPart(task, panels, cuts));
    lease.run(count, [&](int part) {
        const FloatMode here;
        Walk<CountsOfPart> walk(scan, panels, task.queries, Candidates{nullptr, scan.rows}, parts[part]);
        const int64_t end = part_start(scan.rows, tile, part + 1, count);
        for (int64_t at = part_start(scan.rows, tile, part, count); at < end; at += block) {
            walk.rows(at, std::min(at + block, end));
        }
    });
    std::vector<Counts> all(task.batch);
    for (const CountsOfPart &part : parts) part.add_to(all);
    return all;
}

}  // namespace mmkg
