#include "answer/known_triples.h"

#include <algorithm>

#include "common/status.h"

namespace mmkg {

namespace {

struct Range {
    int64_t first, end;  // in the answers of the index
};

Range range_of(const mmkg_known_triples &known, const Questions &questions, int64_t i) {
    // Unsigned: a relation may be too large for a key, and then has none.
    const auto side = static_cast<uint64_t>(questions.relation[i] * 2 + questions.direction[i]);
    const auto key = static_cast<int64_t>((side << 32) + static_cast<uint64_t>(questions.entity[i]));
    const int64_t *const end = known.keys + known.num_keys, *const found = std::lower_bound(known.keys, end, key);
    if (found == end || *found != key) return {0, 0};
    const Range range{known.offsets[found - known.keys], known.offsets[found - known.keys + 1]};
    require(range.first >= 0 && range.first <= range.end && range.end <= known.num_answers,
            "known: offsets do not ascend from 0 to num_answers");
    return range;
}

}  // namespace

void require_index(const mmkg_known_triples &known) {
    require(known.num_keys >= 0 && known.num_answers >= 0, "known: num_keys or num_answers is negative");
    require((known.keys && known.offsets) || known.num_keys == 0, "known: keys or offsets is NULL");
    require(known.answers || known.num_answers == 0, "known: answers is NULL");
}

AnswerLists known_answers(const mmkg_known_triples &known, const Questions &questions, KnownLists &lists) {
    lists.offsets.assign(1, 0);
    lists.ids.clear();
    for (int64_t i = 0; i < questions.batch; ++i) {
        const Range range = range_of(known, questions, i);
        lists.offsets.push_back(lists.offsets.back() + range.end - range.first);
        if (questions.batch == 1) return {lists.offsets.data(), known.answers + range.first};
        lists.ids.insert(lists.ids.end(), known.answers + range.first, known.answers + range.end);
    }
    return {lists.offsets.data(), lists.ids.data()};
}

}  // namespace mmkg
