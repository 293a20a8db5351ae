#include "arguments.hpp"

#include <algorithm>

#include "text.hpp"

namespace mmkg::internal {
namespace {

constexpr int MOST_ANSWERS = 3840;

}  // namespace

void check_id(int64_t id, const Labels &labels, size_t position, size_t count) {
    if (id >= 0 && id < labels.size()) return;
    throw Error(Fault::query, labels.kind() + " id " + std::to_string(id) + " (number " + std::to_string(position) +
                                  " of " + std::to_string(count) + ") is out of range; ids are 0 to " +
                                  grouped(labels.size() - 1) + ".");
}

void check_k(int k) {
    if (k >= 1 && k <= MOST_ANSWERS) return;
    throw Error(Fault::query, "k is " + std::to_string(k) + "; expected a whole number from 1 to " +
                                  grouped(MOST_ANSWERS) + ".");
}

void check_candidates(const std::optional<Candidates> &candidates, const Labels &labels) {
    if (!candidates || candidates->ids().empty()) return;
    const std::vector<int64_t> &ids = candidates->ids();
    check_id(ids.back(), labels, ids.size() - 1, ids.size());
}

std::vector<int64_t> candidate_ids(std::vector<int64_t> ids, const Labels &labels) {
    for (size_t i = 0; i < ids.size(); ++i) check_id(ids[i], labels, i, ids.size());
    std::sort(ids.begin(), ids.end());
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
    return ids;
}

std::vector<int64_t> candidate_ids(const std::vector<std::string> &names, const Labels &labels) {
    std::vector<int64_t> ids;
    for (const std::string &name : names) ids.push_back(labels.id_of(name));
    return candidate_ids(std::move(ids), labels);
}

}  // namespace mmkg::internal
