#include "known_triples.hpp"

#include <algorithm>
#include <utility>

namespace mmkg::internal {
namespace {

int64_t key_of(int64_t entity, int64_t relation, Missing missing) {
    return (relation * 2 + static_cast<int64_t>(missing)) * (int64_t{1} << 32) + entity;
}

Numbers numbers_of(const std::vector<int64_t> &made) { return {made.data(), static_cast<int64_t>(made.size())}; }

Numbers numbers_of(const Array<int64_t> &stored) { return {stored.begin(), stored.size()}; }

}  // namespace

KnownTriples::KnownTriples(const Opened &opened) {
    if (const Tensors &stored = opened.known_triples; !stored.empty()) {
        stored_keys_ = Array<int64_t>(stored.at("keys")), keys_ = numbers_of(stored_keys_);
        stored_offsets_ = Array<int64_t>(stored.at("offsets")), offsets_ = numbers_of(stored_offsets_);
        stored_answers_ = Array<int64_t>(stored.at("answers")), answers_ = numbers_of(stored_answers_);
    } else {
        make(opened.triples);
        keys_ = numbers_of(made_keys_), offsets_ = numbers_of(made_offsets_), answers_ = numbers_of(made_answers_);
    }
}

void KnownTriples::make(const Tensors &splits) {
    std::vector<std::pair<int64_t, int64_t>> pairs;  // key, answer
    for (const auto &[split, tensor] : splits) {
        const Array<int64_t> ids(tensor);
        for (int64_t i = 0; i < ids.size(); i += 3) {
            const int64_t head = ids[i], relation = ids[i + 1], tail = ids[i + 2];
            pairs.emplace_back(key_of(head, relation, Missing::tail), tail);
            pairs.emplace_back(key_of(tail, relation, Missing::head), head);
        }
    }
    std::sort(pairs.begin(), pairs.end());
    pairs.erase(std::unique(pairs.begin(), pairs.end()), pairs.end());
    for (const auto &[key, answer] : pairs) {
        if (made_keys_.empty() || made_keys_.back() != key) {
            made_keys_.push_back(key);
            made_offsets_.push_back(static_cast<int64_t>(made_answers_.size()));
        }
        made_answers_.push_back(answer);
    }
    made_offsets_.push_back(static_cast<int64_t>(made_answers_.size()));
}

mmkg_known_triples KnownTriples::described() const noexcept {
    return {keys_.first, keys_.count, offsets_.first, answers_.first, answers_.count};
}

Numbers KnownTriples::answers(const Query &query) const noexcept {
    const int64_t key = key_of(query.entity, query.relation, query.missing);
    const int64_t *found = std::lower_bound(keys_.begin(), keys_.end(), key);
    if (found == keys_.end() || *found != key) return {};
    const int64_t *offset = offsets_.begin() + (found - keys_.begin());
    return {answers_.begin() + offset[0], offset[1] - offset[0]};
}

}  // namespace mmkg::internal
