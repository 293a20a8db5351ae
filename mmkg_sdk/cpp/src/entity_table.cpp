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

// In float32, which is read in place: another storage takes twenty times as long to make.
std::optional<int32_t> storage_of_added(const Gpu *gpu) {
    return gpu == nullptr ? std::optional<int32_t>(MMKG_FLOAT32) : std::nullopt;
}

}  // namespace

EntityTable::EntityTable(const Opened &opened, const QueryVectors &queries, mmkg_pool *pool, const Gpu *gpu)
    : labels_(opened.entities),
      queries_(&queries),
      scoring_(scoring_of(opened, pool)),
      added_(std::make_shared<AddedRows>()),
      gpu_(gpu) {
    const auto stored = std::make_shared<const Array<float>>(opened.table.at("vectors"));
    const std::shared_ptr<const float> vectors(stored, stored->begin());
    const auto storage = gpu == nullptr ? std::optional<int32_t>(MMKG_BEST_STORAGE) : std::nullopt;
    segments_.push_back(std::make_shared<const Segment>(vectors, 0, labels_.size(), scoring_, storage));
    if (gpu != nullptr) {
        gpu_queries_ = queries_->on_gpu(gpu->handle());
        open_on_gpu();
        return;
    }
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
      added_(before.added_),
      gpu_(before.gpu_),
      gpu_queries_(before.gpu_queries_) {
    if (gpu_ != nullptr) open_on_gpu();
}

void EntityTable::open_on_gpu() {
    std::vector<float> joined;
    if (segments_.size() > 1) {
        std::vector<int64_t> ids(static_cast<size_t>(rows()));
        std::iota(ids.begin(), ids.end(), 0);
        joined = rows_of(ids);
    }
    const float *vectors = joined.empty() ? row(0) : joined.data();
    on_gpu_ = std::make_unique<const GpuTable>(*gpu_, gpu_queries_, vectors, rows(), scoring_);
}

std::shared_ptr<const EntityTable> EntityTable::with(const std::vector<std::string> &labels,
                                                     const std::vector<float> &vectors) const {
    Labels longer = labels_.with(labels);
    const int64_t end = longer.size();
    const auto added = added_->append(rows() - segments_.front()->end(), vectors, width());
    Segments segments = grown(segments_, added, end, scoring_, storage_of_added(gpu_));
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
    if (on_gpu_ != nullptr) {
        made = on_gpu_->query_vectors(asked);
    } else if (within) {
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

TopK EntityTable::best(const Columns &asked, int64_t k, const RowLists *excluded,
                       const std::vector<int64_t> *candidates) const {
    if (on_gpu_ != nullptr) return on_gpu_->best(asked, k, excluded, candidates);
    return best_rows(segments_, query_vectors(asked), asked.size(), k, excluded, candidates);
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
