// query.hpp: what is asked of a model, and what it answers.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mmkg/error.hpp"

namespace mmkg {

// Which side of a triple is asked for.
enum class Missing : int64_t { tail = 0, head = 1 };

// (entity, relation, ?) or (?, relation, entity), by ids.
struct Query {
    int64_t entity = 0;
    int64_t relation = 0;
    Missing missing = Missing::tail;
};

struct Triple {
    int64_t head = 0;
    int64_t relation = 0;
    int64_t tail = 0;
};

// Entities to rank, made by Model::candidates or Linker::candidates; a copy costs nothing.
class MMKG_MODEL_API Candidates {
public:
    // Ids, each once, ascending.
    const std::vector<int64_t> &ids() const noexcept { return *ids_; }

private:
    friend class Model;
    friend class Linker;
    explicit Candidates(std::vector<int64_t> ids)
        : ids_(std::make_shared<const std::vector<int64_t>>(std::move(ids))) {}

    std::shared_ptr<const std::vector<int64_t>> ids_;
};

// How it is asked.
struct Asking {
    // Answers per query, 1 to 3,840; cut to the number of candidates.
    int k = 10;
    // Leave out what the training, validation or test triples already give; the answer says which. Unset: so it is
    // where all entities are candidates, and not where some are named.
    std::optional<bool> filter_known = std::nullopt;
    // Rank only these. Unset: all entities.
    std::optional<Candidates> candidates = std::nullopt;
};

// One candidate. Scores: higher is better; they are comparable within one query only, and have no natural threshold.
struct Answer {
    int64_t id = 0;
    std::string label;
    float score = 0;
};

// The answers of one query, best first; equal scores by ascending id.
struct Ranking {
    std::vector<Answer> answers;
    std::vector<int64_t> known;  // answers that the data already give, which were left out for that; ascending
};

}  // namespace mmkg
