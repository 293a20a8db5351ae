// What a caller may ask for: ids, candidates and numbers of answers, checked.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "mmkg/labels.hpp"
#include "mmkg/query.hpp"

namespace mmkg::internal {

// Throws Error (query): an id that is none of the labels.
void check_id(int64_t id, const Labels &labels, size_t position, size_t count);

// Throws Error (query): it is not 1 to 3,840.
void check_k(int k);

// Throws Error (query): they are of a model with more entities.
void check_candidates(const std::optional<Candidates> &candidates, const Labels &labels);

// Ascending, each once.
//
// Throws Error (query): an id, or name, that is none of the labels.
std::vector<int64_t> candidate_ids(std::vector<int64_t> ids, const Labels &labels);
std::vector<int64_t> candidate_ids(const std::vector<std::string> &names, const Labels &labels);

}  // namespace mmkg::internal
