// The entities of a model as they are asked for, with what ranks them.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels.hpp"
#include "mmkg/labels.hpp"
#include "opened.hpp"
#include "query_vectors.hpp"

namespace mmkg::internal {

// Labels, vectors, scan and what answers with them, which grow together and are replaced as one. Never changes.
class EntityTable {
public:
    // Those of a bundle. opened, queries, pool: must stay.
    EntityTable(const Opened &opened, const QueryVectors &queries, mmkg_pool *pool);

    // These and some more. vectors: float32 [labels, width].
    std::shared_ptr<const EntityTable> with(const std::vector<std::string> &labels,
                                            const std::vector<float> &vectors) const;

    const Labels &labels() const noexcept { return labels_; }
    const float *vectors() const noexcept { return vectors_; }  // float32 [rows, width]
    int64_t rows() const noexcept { return rows_; }
    int64_t width() const noexcept { return width_; }
    const mmkg_scan *scan() const noexcept { return scan_.get(); }
    const mmkg_answer *answer() const noexcept { return answer_.get(); }

private:
    EntityTable(const EntityTable &before, Labels labels, std::vector<float> vectors);
    void open_kernels();

    Labels labels_;
    Array<float> stored_;     // the bundle's vectors, if there are no others
    std::vector<float> own_;  // with those that were added
    const float *vectors_ = nullptr;
    int64_t rows_ = 0, width_ = 0;
    int32_t score_ = MMKG_INNER_PRODUCT;
    float margin_ = 0;
    const QueryVectors *queries_;
    mmkg_pool *pool_;
    Scan scan_;
    AnswerCall answer_;
};

}  // namespace mmkg::internal
