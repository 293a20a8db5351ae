// The parts of mmkg_answer.h, and what lies between them.
#pragma once

#include <cstdint>
#include <memory>

#include "mmkg_answer.h"
#include "answer/known_triples.h"
#include "common/aligned.h"
#include "common/pool.h"
#include "common/spares.h"
#include "query/rotation.h"
#include "table/walk.h"

namespace mmkg {

struct AnswerScratch {
    Aligned<float> vectors, context, relation;  // of some questions
    KnownLists known;
};

// Where answers go: those of question i are at offsets[i] up to offsets[i + 1].
struct AnswersFound {
    int64_t *offsets, *ids;
    float *scores;
};

}  // namespace mmkg

struct mmkg_answer {
    explicit mmkg_answer(const mmkg_answer_parts &parts);

    void top_k(const mmkg::Questions &questions, int64_t k, const mmkg_known_triples *known,
               const mmkg::Candidates &candidates, mmkg::AnswersFound to) const;

    const mmkg_scan &scan;
    const int64_t num_relations;

private:
    const float *vectors_of(const mmkg::Questions &questions, mmkg::Pool::Lease &lease,
                            mmkg::AnswerScratch &scratch) const;

    const mmkg_query_context *const context_;
    const mmkg_tucker *const core_;
    const mmkg::Rotations rotations_;
    mutable mmkg::Spares<mmkg::AnswerScratch> spares_;
};
