// Where a right answer stands: rows are only counted, nothing is sorted or kept.
#include <algorithm>
#include <cmath>
#include <vector>

#include "float_mode.h"
#include "rank_counts.h"

namespace mmkg {

namespace {

constexpr int64_t kKnownRows = 64;  // whose scores are made at a time

// Other known answers were counted with their own score; now they count with what the penalty leaves of it.
void apply_known(const RankTask &task, int64_t query, const int64_t *known, const int64_t *end, float penalty,
                 Counts &counts) {
    const int64_t target = task.targets[query];
    const float target_score = task.scores[query];
    const float *rows[kKnownRows];
    float scores[kKnownRows];
    while (known != end) {
        const int64_t now = std::min<int64_t>(kKnownRows, end - known);
        for (int64_t i = 0; i < now; ++i) rows[i] = task.scan.table + known[i] * task.scan.width;
        task.scan.exact_chosen(task.query(query), rows, now, scores);
        for (int64_t i = 0; i < now; ++i, ++known) {
            if (*known == target) continue;
            counts.add(scores[i], target_score, *known, target, -1);
            counts.add(scores[i] - penalty, target_score, *known, target, 1);
        }
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
        std::vector<float> scores(batch);
        for (int64_t i = 0; i < batch; ++i) {
            scores[i] = scan->exact_one(queries + i * scan->width, targets[i]);
            if (std::isnan(scores[i])) throw NotANumber();
        }
        const RankTask task{*scan, queries, batch, targets, scores.data()};
        Pool::Lease lease(scan->pool);
        std::vector<Counts> all = scan->packed ? packed_counts(task, lease) : table_counts(task, lease);
        const int64_t others = known_offsets ? known_offsets[batch] : 0;
        const int shares = parts_of(lease, scan->cost(others), batch);
        lease.run(shares, [&](int part) {
            const FloatMode here;
            const int64_t end = part_start(batch, 1, part + 1, shares);
            for (int64_t i = part_start(batch, 1, part, shares); i < end; ++i) {
                all[i].equal -= 1;  // the target itself
                apply_known(task, i, known.begin(i), known.end(i), known_penalty, all[i]);
                better[i] = all[i].better;
                equal[i] = all[i].equal;
                equal_lower[i] = all[i].equal_lower;
            }
        });
    });
}
