#include "entity_table.hpp"

namespace mmkg::internal {

EntityTable::EntityTable(const Opened &opened, const QueryVectors &queries, mmkg_pool *pool)
    : labels_(opened.entities), queries_(&queries), pool_(pool) {
    const Tensor &table = opened.table.at("vectors");
    rows_ = table.shape[0], width_ = table.shape[1];
    if (opened.config().family == Family::adamf_mat) {
        score_ = MMKG_COMPLEX_DISTANCE;
        margin_ = static_cast<float>(opened.config().numbers.at("margin"));
    }
    stored_ = Array<float>(table);
    vectors_ = stored_.begin();
    open_kernels();
}

EntityTable::EntityTable(const EntityTable &before, Labels labels, std::vector<float> vectors)
    : labels_(std::move(labels)),
      own_(std::move(vectors)),
      vectors_(own_.data()),
      rows_(labels_.size()),
      width_(before.width_),
      score_(before.score_),
      margin_(before.margin_),
      queries_(before.queries_),
      pool_(before.pool_) {
    open_kernels();
}

void EntityTable::open_kernels() {
    mmkg_scan *handle = nullptr;
    check(mmkg_scan_open(vectors_, rows_, width_, score_, margin_, MMKG_BEST, MMKG_BEST_STORAGE, pool_, &handle),
          "the table");
    scan_.reset(handle);
    mmkg_answer_parts parts{};
    parts.scan = scan_.get();
    queries_->describe(parts);
    mmkg_answer *answer = nullptr;
    check(mmkg_answer_open(&parts, &answer), "query_encoder");
    answer_.reset(answer);
}

std::shared_ptr<const EntityTable> EntityTable::with(const std::vector<std::string> &labels,
                                                     const std::vector<float> &vectors) const {
    Labels longer = labels_.with(labels);
    std::vector<float> all;
    all.reserve(static_cast<size_t>(rows_ * width_) + vectors.size());
    all.insert(all.end(), vectors_, vectors_ + rows_ * width_);
    all.insert(all.end(), vectors.begin(), vectors.end());
    return std::shared_ptr<const EntityTable>(new EntityTable(*this, std::move(longer), std::move(all)));
}

}  // namespace mmkg::internal
