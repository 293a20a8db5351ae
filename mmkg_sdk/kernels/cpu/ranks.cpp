// Where a right answer stands: rows are only counted, nothing is sorted or kept.
#include <cmath>
#include <limits>
#include <vector>

#include "float_mode.h"
#include "walk.h"

namespace mmkg {

namespace {

struct Counts {
    int64_t better = 0, equal = 0, equal_lower = 0;

    void add(float score, float target_score, int64_t id, int64_t target, int64_t times) {
        better += score > target_score ? times : 0;
        if (score != target_score) return;
        equal += times;
        equal_lower += id < target ? times : 0;
    }
};

struct Targets {
    const int64_t *ids;
    std::vector<float> scores;
    std::vector<float> low, high;  // per lane, see Tile
};

class CountsOfPart {
public:
    CountsOfPart(const Panels &panels, const Targets &targets)
        : panels_(panels), targets_(targets), counts_(targets.scores.size()), sure_(panels.lanes(), 0) {}

    int tile(const Panel &panel, Tile &tile, Hit *hits) {
        tile.low = targets_.low.data() + panel.first_lane;
        tile.high = targets_.high.data() + panel.first_lane;
        return panel.kernel->count(tile, sure_.data() + panel.first_lane, hits);
    }

    void settle(int64_t query, int64_t id, float score) {
        if (std::isnan(score)) throw NotANumber();
        counts_[query].add(score, targets_.scores[query], id, targets_.ids[query], 1);
    }

    // Adds this part's counts to those of all queries.
    void add_to(std::vector<Counts> &all) const {
        for (size_t i = 0; i < all.size(); ++i) {
            all[i].better += counts_[i].better;
            all[i].equal += counts_[i].equal;
            all[i].equal_lower += counts_[i].equal_lower;
        }
        for (const Panel &panel : panels_) {
            for (int lane = 0; panel.kernel && lane < panel.count; ++lane) {
                all[panel.first + lane].better += sure_[panel.first_lane + lane];
            }
        }
    }

private:
    const Panels &panels_;
    const Targets &targets_;
    std::vector<Counts> counts_;
    std::vector<int32_t> sure_;  // better ones of each lane, by the first pass
};

Targets targets_of(const mmkg_scan &scan, const Panels &panels, const float *queries, int64_t batch,
                   const int64_t *ids) {
    constexpr float infinity = std::numeric_limits<float>::infinity();
    Targets targets{ids, std::vector<float>(batch), std::vector<float>(panels.lanes(), infinity),
                    std::vector<float>(panels.lanes(), infinity)};
    for (int64_t i = 0; i < batch; ++i) {
        targets.scores[i] = scan.exact_one(queries + i * scan.width, ids[i]);
        if (std::isnan(targets.scores[i])) throw NotANumber();
    }
    for (const Panel &panel : panels) {
        for (int lane = 0; panel.kernel && lane < panel.count; ++lane) {
            const float score = targets.scores[panel.first + lane];
            targets.low[panel.first_lane + lane] = scan.bounds.low(score);
            targets.high[panel.first_lane + lane] = scan.bounds.high(score);
        }
    }
    return targets;
}

// Other known answers were counted with their own score; now they count with what the penalty leaves of it.
void apply_known(const mmkg_scan &scan, const float *query, int64_t target, float target_score, const int64_t *known,
                 const int64_t *end, float penalty, Counts &counts) {
    for (; known != end; ++known) {
        if (*known == target) continue;
        const float score = scan.exact_one(query, *known);
        counts.add(score, target_score, *known, target, -1);
        counts.add(score - penalty, target_score, *known, target, 1);
    }
}

}  // namespace

}  // namespace mmkg

mmkg_status mmkg_ranks(const mmkg_scan *scan, const float *queries, int64_t batch, const int64_t *targets,
                       const int64_t *known_offsets, const int64_t *known_ids, float known_penalty, int64_t *better,
                       int64_t *equal, int64_t *equal_lower) {
    using namespace mmkg;
    return guarded([&] {
        check_queries(scan, queries, batch);
        require((targets && better && equal && equal_lower) || batch == 0, "targets or a result is NULL");
        for (int64_t i = 0; i < batch; ++i) {
            require(targets[i] >= 0 && targets[i] < scan->rows, "a target is out of range");
        }
        require(known_penalty >= 0.0f, "known_penalty is negative or NaN");
        const AnswerLists known{known_offsets, known_ids};
        known.check(batch, scan->rows, "known ids are not ascending or out of range, or their offsets are wrong");
        if (!batch) return;

        const FloatMode mode;
        // Never a packed copy: too many rows lie within its bound of a target in the middle, and all would be settled.
        const Panels panels(*scan, queries, batch);
        const Targets right = targets_of(*scan, panels, queries, batch, targets);
        Pool::Lease lease(scan->pool);
        const int64_t tile = scan->set.tile_rows[scan->score];
        const int64_t block = Walk<CountsOfPart>::block_rows(*scan);
        const int count = parts_of(lease, scan->cost(scan->rows * batch), (scan->rows + tile - 1) / tile);
        std::vector<CountsOfPart> parts(count, CountsOfPart(panels, right));
        lease.run(count, [&](int part) {
            const FloatMode here;
            Walk<CountsOfPart> walk(*scan, panels, queries, Candidates{nullptr, scan->rows}, parts[part]);
            const int64_t end = part_start(scan->rows, tile, part + 1, count);
            for (int64_t at = part_start(scan->rows, tile, part, count); at < end; at += block) {
                walk.rows(at, std::min(at + block, end));
            }
        });
        std::vector<Counts> all(batch);
        for (const CountsOfPart &part : parts) part.add_to(all);
        const int64_t others = known_offsets ? known_offsets[batch] : 0;
        const int shares = parts_of(lease, scan->cost(others), batch);
        lease.run(shares, [&](int part) {
            const FloatMode here;
            const int64_t end = part_start(batch, 1, part + 1, shares);
            for (int64_t i = part_start(batch, 1, part, shares); i < end; ++i) {
                all[i].equal -= 1;  // the target itself
                apply_known(*scan, queries + i * scan->width, targets[i], right.scores[i], known.begin(i), known.end(i),
                            known_penalty, all[i]);
                better[i] = all[i].better;
                equal[i] = all[i].equal;
                equal_lower[i] = all[i].equal_lower;
            }
        });
    });
}
