#include "answer/answer.h"

#include <algorithm>
#include <cstring>

#include "common/float_mode.h"
#include "common/status.h"
#include "query/query_context.h"
#include "query/tucker.h"
#include "ranking/top_k.h"

namespace mmkg {

namespace {

// Questions that go from step to step together: their vectors stay in the second-level cache.
constexpr int64_t kTogether = 256;

int64_t relations_of(const mmkg_answer_parts &parts) {
    require(!parts.context != !parts.rotations, "parts: expected a context or rotations, one of the two");
    return parts.context ? parts.context->num_relations : parts.num_rotations;
}

void reserve(Aligned<float> &memory, int64_t count) {
    if (memory.size() < count) memory = Aligned<float>(count);
}

// The rows of answers, k places each, as one list; counts[i] stand in offsets[i + 1] and become offsets.
void close_ranks(const AnswersFound &found, int64_t batch, int64_t k) {
    int64_t end = found.offsets[0];
    for (int64_t i = 0, from = end; i < batch; ++i, from += k) {
        const int64_t count = found.offsets[i + 1];
        if (end != from) {
            std::memmove(found.ids + end, found.ids + from, static_cast<size_t>(count) * sizeof *found.ids);
            std::memmove(found.scores + end, found.scores + from, static_cast<size_t>(count) * sizeof *found.scores);
        }
        found.offsets[i + 1] = end += count;
    }
}

}  // namespace

}  // namespace mmkg

mmkg_answer::mmkg_answer(const mmkg_answer_parts &parts)
    : scan(*parts.scan),
      num_relations(mmkg::relations_of(parts)),
      context_(parts.context),
      core_(parts.core),
      rotations_{parts.rotations, parts.num_rotations, parts.scan->width} {
    using mmkg::require;
    require(scan.rows >= 1, "parts: the table of the scan is empty");
    if (rotations_.rotations) mmkg::require_rotations(rotations_);
    if (context_) require(context_->width == scan.width, "parts: the context has another width than the table");
    if (context_) require(&context_->pool() == &scan.pool, "parts: context and scan have two pools");
    if (!core_) return;
    require(context_, "parts: a core needs a context");
    require(core_->width == scan.width, "parts: the core has another width than the table");
    require(&core_->pool() == &scan.pool, "parts: core and scan have two pools");
}

void mmkg_answer::top_k(const mmkg::Questions &questions, int64_t k, const mmkg_known_triples *known,
                        const mmkg::Candidates &candidates, mmkg::AnswersFound to) const {
    const mmkg::FloatMode mode;
    auto scratch = spares_.take();
    if (!scratch) scratch = std::make_unique<mmkg::AnswerScratch>();
    mmkg::Pool::Lease lease(scan.pool, true);
    to.offsets[0] = 0;
    for (int64_t first = 0; first < questions.batch; first += mmkg::kTogether) {
        const mmkg::Questions some = questions.part(first, std::min(mmkg::kTogether, questions.batch - first));
        const float *const vectors = vectors_of(some, lease, *scratch);
        mmkg::AnswerLists excluded{nullptr, nullptr};
        if (known) {
            excluded = mmkg::known_answers(*known, some, scratch->known);
            excluded.check(some.batch, scan.rows, "known: the answers of a key do not ascend, or one is no row");
        }
        const mmkg::AnswersFound here{to.offsets + first, to.ids, to.scores};
        const int64_t at = here.offsets[0];
        mmkg::top_k({scan, vectors, some.batch, k, excluded}, candidates, lease,
                    {to.ids + at, to.scores + at, here.offsets + 1}, nullptr);
        mmkg::close_ranks(here, some.batch, k);
    }
    spares_.give_back(std::move(scratch));
}

const float *mmkg_answer::vectors_of(const mmkg::Questions &questions, mmkg::Pool::Lease &lease,
                                     mmkg::AnswerScratch &scratch) const {
    const int64_t count = questions.batch * scan.width;
    try {
        if (!context_) {
            mmkg::reserve(scratch.vectors, count);
            mmkg::rotate(rotations_, scan.table, questions, scratch.vectors.data());
            return scratch.vectors.data();
        }
        mmkg::reserve(scratch.context, count);
        mmkg::reserve(scratch.relation, count);
        context_->encode({scan.table, questions.batch, questions.entity, questions.relation, questions.direction,
                          scratch.context.data(), scratch.relation.data()},
                         lease);
        if (!core_) return scratch.context.data();
        mmkg::reserve(scratch.vectors, count);
        core_->apply(scratch.context.data(), scratch.relation.data(), questions.batch, scratch.vectors.data(), lease);
        return scratch.vectors.data();
    } catch (const mmkg::NotANumber &) {
        throw mmkg::NotANumber("the vector of a question is NaN or infinite");
    }
}

mmkg_status mmkg_answer_open(const mmkg_answer_parts *parts, mmkg_answer **answer) {
    return mmkg::guarded([&] {
        mmkg::require(answer, "answer is NULL");
        mmkg::require(parts, "parts is NULL");
        mmkg::require(parts->scan, "parts: scan is NULL");
        *answer = new mmkg_answer(*parts);
    });
}

void mmkg_answer_close(mmkg_answer *answer) { delete answer; }

mmkg_status mmkg_answer_top_k(const mmkg_answer *answer, const int64_t *entity, const int64_t *relation,
                              const int64_t *direction, int64_t batch, int64_t k, const mmkg_known_triples *known,
                              const int64_t *candidates, int64_t num_candidates, int64_t *offsets, int64_t *ids,
                              float *scores) {
    return mmkg::guarded([&] {
        using mmkg::require;
        require(answer, "answer is NULL");
        require(batch >= 0 && batch <= INT32_MAX, "batch is negative or above 2^31 - 1");
        require(k >= 1 && k <= MMKG_MAX_K, "k is not from 1 to 2^20");
        require((entity && relation && direction) || batch == 0, "entity, relation or direction is NULL");
        require(offsets, "offsets is NULL");
        require((ids && scores) || batch == 0, "ids or scores is NULL");
        mmkg::require_ids("entity", entity, batch, answer->scan.rows);
        mmkg::require_ids("relation", relation, batch, answer->num_relations);
        mmkg::require_ids("direction", direction, batch, 2);
        if (known) mmkg::require_index(*known);
        const mmkg::Candidates rows{candidates, candidates ? num_candidates : answer->scan.rows};
        mmkg::check_candidates(rows, answer->scan.rows);
        answer->top_k({entity, relation, direction, batch}, k, known, rows, {offsets, ids, scores});
    });
}
