#include "known_triples.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace mmkg::internal {
namespace {

int64_t key_of(int64_t entity, int64_t relation, Missing missing) {
    return ((relation * 2 + static_cast<int64_t>(missing)) << 32) + entity;
}

}  // namespace

KnownTriples::KnownTriples(const Tensors &splits) {
    std::vector<std::pair<int64_t, int64_t>> pairs;  // key, answer
    for (const auto &[split, tensor] : splits) {
        for (int64_t i = 0; i < tensor.shape[0]; ++i) {
            int64_t triple[3];
            std::memcpy(triple, tensor.data + static_cast<size_t>(i) * sizeof triple, sizeof triple);
            const auto [head, relation, tail] = triple;
            pairs.emplace_back(key_of(head, relation, Missing::tail), tail);
            pairs.emplace_back(key_of(tail, relation, Missing::head), head);
        }
    }
    std::sort(pairs.begin(), pairs.end());
    pairs.erase(std::unique(pairs.begin(), pairs.end()), pairs.end());
    for (const auto &[key, answer] : pairs) {
        if (keys_.empty() || keys_.back() != key) {
            keys_.push_back(key);
            offsets_.push_back(static_cast<int64_t>(answers_.size()));
        }
        answers_.push_back(answer);
    }
    offsets_.push_back(static_cast<int64_t>(answers_.size()));
}

Numbers KnownTriples::answers(const Query &query) const noexcept {
    const int64_t key = key_of(query.entity, query.relation, query.missing);
    const auto found = std::lower_bound(keys_.begin(), keys_.end(), key);
    if (found == keys_.end() || *found != key) return {};
    const auto place = static_cast<size_t>(found - keys_.begin());
    return {answers_.data() + offsets_[place], offsets_[place + 1] - offsets_[place]};
}

}  // namespace mmkg::internal
