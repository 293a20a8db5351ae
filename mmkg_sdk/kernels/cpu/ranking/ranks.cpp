// Where a right answer stands: rows are only counted, nothing is sorted or kept.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "common/float_mode.h"
#include "ranking/rank_counts.h"

namespace mmkg {

namespace {

// Canonical scores of the known answers of one query after the other.
class KnownScores {
public:
    KnownScores(const RankTask &task, const AnswerLists &known) : task_(task), known_(known) {}

    // Evaluation asks a question once for each of its right answers, side by side: the scores are those of before.
    const float *of(int64_t query) {
        const int64_t *begin = known_.begin(query), *end = known_.end(query);
        if (last_ >= 0 && same(query, last_)) return scores_.data();
        rows_.clear();
        for (const int64_t *id = begin; id != end; ++id) rows_.push_back(task_.scan.table + *id * task_.scan.width);
        scores_.resize(rows_.size());
        task_.scan.exact_chosen(task_.query(query), rows_.data(), static_cast<int64_t>(rows_.size()), scores_.data());
        last_ = query;
        return scores_.data();
    }

private:
    bool same(int64_t a, int64_t b) const {
        return std::equal(known_.begin(a), known_.end(a), known_.begin(b), known_.end(b)) &&
               std::memcmp(task_.query(a), task_.query(b), task_.scan.width * sizeof(float)) == 0;
    }

    const RankTask &task_;
    const AnswerLists &known_;
    int64_t last_ = -1;  // whose scores they are
    std::vector<const float *> rows_;
    std::vector<float> scores_;
};

// Other known answers were counted with their own score; now they count with what the penalty leaves of it.
void apply_known(const RankTask &task, int64_t query, const int64_t *known, const int64_t *end, const float *scores,
                 float penalty, Counts &counts) {
    const int64_t target = task.targets[query];
    const float target_score = task.scores[query];
    for (; known != end; ++known, ++scores) {
        if (*known == target) continue;
        counts.add(*scores, target_score, *known, target, -1);
        counts.add(*scores - penalty, target_score, *known, target, 1);
    }
}

// Queries, known answers and penalty are refused in the same words by both functions.
void check_task(const mmkg_scan *scan, const float *queries, int64_t batch, const AnswerLists &known, float penalty) {
    check_queries(scan, queries, batch);
    require(penalty >= 0.0f, "known_penalty is negative or NaN");
    known.check(batch, scan->rows, "known ids are not ascending or out of range, or their offsets are wrong");
}

void count(const RankTask &task, const AnswerLists &known, float penalty, int64_t *better, int64_t *equal,
           int64_t *equal_lower) {
    const mmkg_scan &scan = task.scan;
    Pool::Lease lease(scan.pool);
    std::vector<Counts> all = scan.packed ? packed_counts(task, lease) : table_counts(task, lease);
    const int64_t others = known.offsets ? known.offsets[task.batch] : 0;
    const int shares = parts_of(lease, scan.cost(others), task.batch);
    lease.run(shares, [&](int part) {
        const FloatMode here;
        const int64_t end = part_start(task.batch, 1, part + 1, shares);
        KnownScores scores_of(task, known);
        for (int64_t i = part_start(task.batch, 1, part, shares); i < end; ++i) {
            if (task.targets[i] >= 0 && task.targets[i] < scan.rows) all[i].equal -= 1;  // the target itself
            apply_known(task, i, known.begin(i), known.end(i), scores_of.of(i), penalty, all[i]);
            better[i] = all[i].better;
            equal[i] = all[i].equal;
            equal_lower[i] = all[i].equal_lower;
        }
    });
}

}  // namespace

}  // namespace mmkg

mmkg_status mmkg_ranks(const mmkg_scan *scan, const float *queries, int64_t batch, const int64_t *targets,
                       const int64_t *known_offsets, const int64_t *known_ids, float known_penalty, int64_t *better,
                       int64_t *equal, int64_t *equal_lower) {
    using namespace mmkg;
    return guarded([&] {
        const AnswerLists known{known_offsets, known_ids};
        check_task(scan, queries, batch, known, known_penalty);
        require((targets && better && equal && equal_lower) || batch == 0, "targets or a result is NULL");
        for (int64_t i = 0; i < batch; ++i) {
            require(targets[i] >= 0 && targets[i] < scan->rows, "a target is out of range");
        }
        if (!batch) return;

        const FloatMode mode;
        std::vector<float> scores(batch);
        for (int64_t i = 0; i < batch; ++i) {
            scores[i] = scan->exact_one(queries + i * scan->width, targets[i]);
            if (std::isnan(scores[i])) throw NotANumber();
        }
        count({*scan, queries, batch, targets, scores.data()}, known, known_penalty, better, equal, equal_lower);
    });
}

mmkg_status mmkg_ranks_in_part(const mmkg_scan *scan, const float *queries, int64_t batch, const int64_t *targets,
                               const float *scores, const int64_t *known_offsets, const int64_t *known_ids,
                               float known_penalty, int64_t *better, int64_t *equal, int64_t *equal_lower) {
    using namespace mmkg;
    return guarded([&] {
        const AnswerLists known{known_offsets, known_ids};
        check_task(scan, queries, batch, known, known_penalty);
        require((targets && scores && better && equal && equal_lower) || batch == 0,
                "targets, scores or a result is NULL");
        if (!batch) return;

        const FloatMode mode;
        for (int64_t i = 0; i < batch; ++i) {
            if (std::isnan(scores[i])) throw NotANumber();
            if (targets[i] < 0 || targets[i] >= scan->rows) continue;
            const float own = scan->exact_one(queries + i * scan->width, targets[i]);
            if (std::isnan(own)) throw NotANumber();
            require(scores[i] == own, "the score of a target in this part is another than its row has");
        }
        count({*scan, queries, batch, targets, scores}, known, known_penalty, better, equal, equal_lower);
    });
}
