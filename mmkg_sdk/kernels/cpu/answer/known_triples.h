// The known answers of questions, from the index of mmkg_answer.h.
#pragma once

#include <cstdint>
#include <vector>

#include "mmkg_answer.h"
#include "query/rotation.h"
#include "table/scan.h"

namespace mmkg {

// Throws if an array is missing.
void require_index(const mmkg_known_triples &known);

// Room for the lists of several questions.
struct KnownLists {
    std::vector<int64_t> offsets, ids;
};

// The lists of some questions: where they lie in the index if there is one question, else copied into `lists`. Throws
// where the index is damaged.
AnswerLists known_answers(const mmkg_known_triples &known, const Questions &questions, KnownLists &lists);

}  // namespace mmkg
