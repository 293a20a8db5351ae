#include "entity_table.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace mmkg::internal {
namespace {

Scoring scoring_of(const Opened &opened, mmkg_pool *pool) {
    Scoring scoring{opened.config().table_width(), MMKG_INNER_PRODUCT, 0, pool};
    if (opened.config().family == Family::adamf_mat) {
        scoring.score = MMKG_COMPLEX_DISTANCE;
        scoring.margin = static_cast<float>(opened.config().numbers.at("margin"));
    }
    return scoring;
}

}  // namespace

EntityTable::EntityTable(const Opened &opened, const QueryVectors &queries, mmkg_pool *pool)
    : labels_(opened.entities),
      queries_(&queries),
      scoring_(scoring_of(opened, pool)),
      added_(std::make_shared<AddedRows>()) {
    const auto stored = std::make_shared<const Array<float>>(opened.table.at("vectors"));
    const std::shared_ptr<const float> vectors(stored, stored->begin());
    segments_.push_back(
        std::make_shared<const Segment>(vectors, 0, labels_.size(), scoring_, int32_t{MMKG_BEST_STORAGE}));
    mmkg_answer_parts parts{};
    parts.scan = segments_.front()->scan();
    queries_->describe(parts);
    mmkg_answer *answer = nullptr;
    check(mmkg_answer_open(&parts, &answer), "query_encoder");
    answer_.reset(answer);
}

EntityTable::EntityTable(const EntityTable &before, Labels labels, Segments segments)
    : labels_(std::move(labels)),
      queries_(before.queries_),
      scoring_(before.scoring_),
      segments_(std::move(segments)),
      added_(before.added_) {}

std::shared_ptr<const EntityTable> EntityTable::with(const std::vector<std::string> &labels,
                                                     const std::vector<float> &vectors) const {
    Labels longer = labels_.with(labels);
    const int64_t end = longer.size();
    const auto added = added_->append(rows() - segments_.front()->end(), vectors, width());
    Segments segments = grown(segments_, added, end, scoring_);
    return std::shared_ptr<const EntityTable>(new EntityTable(*this, std::move(longer), std::move(segments)));
}

const float *EntityTable::row(int64_t id) const noexcept {
    const auto behind = std::find_if(segments_.begin(), segments_.end() - 1,
                                     [&](const auto &segment) { return id < segment->end(); });
    return (*behind)->row(id);
}

std::vector<float> EntityTable::rows_of(const std::vector<int64_t> &ids) const {
    std::vector<float> rows;
    rows.reserve(ids.size() * static_cast<size_t>(width()));
    for (const int64_t id : ids) rows.insert(rows.end(), row(id), row(id) + width());
    return rows;
}

std::vector<float> EntityTable::query_vectors(const Columns &asked) const {
    const Segment &bundled = *segments_.front();
    const bool within = std::all_of(asked.entity.begin(), asked.entity.end(),
                                    [&](int64_t id) { return id < bundled.end(); });
    std::vector<float> made;
    if (within) {
        made = queries_->of(bundled.row(0), bundled.end(), asked);
    } else {  // from a table of the entities that are asked about
        const std::vector<float> rows = rows_of(asked.entity);
        Columns placed = asked;
        std::iota(placed.entity.begin(), placed.entity.end(), 0);
        made = queries_->of(rows.data(), placed.size(), placed);
    }
    if (!std::all_of(made.begin(), made.end(), [](float number) { return std::isfinite(number); })) {
        throw Error(Fault::backend,
                    "query_encoder gave NaN or infinity: float32 cannot hold what the weights make of a query. Export "
                    "from a sound run.");
    }
    return made;
}

std::vector<float> EntityTable::pair_scores(const std::vector<float> &queries, const std::vector<int64_t> &ids) const {
    const auto count = static_cast<int64_t>(ids.size());
    std::vector<float> scores(ids.size());
    if (ids.empty()) return scores;
    // A score is that of its pair alone, so these rows are a table as good as any.
    const std::vector<float> rows = rows_of(ids);
    const Segment table({std::shared_ptr<void>(), rows.data()}, 0, count, scoring_, MMKG_FLOAT32);
    std::vector<int64_t> places(ids.size());
    std::iota(places.begin(), places.end(), 0);
    check(mmkg_pair_scores(table.scan(), queries.data(), count, places.data(), scores.data()), "a score");
    return scores;
}

}  // namespace mmkg::internal
