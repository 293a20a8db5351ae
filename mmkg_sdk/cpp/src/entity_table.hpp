// The entities of a model as they are asked for, with what ranks them.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "gpu.hpp"
#include "kernels.hpp"
#include "mmkg/labels.hpp"
#include "opened.hpp"
#include "query_vectors.hpp"
#include "segments.hpp"

namespace mmkg::internal {

// Labels, vectors and what ranks them, which grow together and are replaced as one. Never changes.
class EntityTable {
public:
    // Those of a bundle.
    //
    //   opened, queries, pool, gpu   must stay
    //   gpu                          ranks them; nullptr: the CPU does
    EntityTable(const Opened &opened, const QueryVectors &queries, mmkg_pool *pool, const Gpu *gpu);

    // These and some more; one thread at a time, and only the newest table grows. Nothing that was there is copied, but
    // now and then what was added before; to a GPU all of it is copied again.
    //
    //   vectors   float32 [labels, width]
    std::shared_ptr<const EntityTable> with(const std::vector<std::string> &labels,
                                            const std::vector<float> &vectors) const;

    const Labels &labels() const noexcept { return labels_; }
    int64_t rows() const noexcept { return segments_.back()->end(); }
    int64_t width() const noexcept { return scoring_.width; }
    const float *row(int64_t id) const noexcept;  // float32 [width]

    // What answers queries in one call; nullptr where entities were added, or a GPU ranks.
    const mmkg_answer *answer() const noexcept { return answer_.get(); }

    // What the entities are scored against, float32 [batch, width].
    //
    // Throws Error (backend): a vector is not finite.
    std::vector<float> query_vectors(const Columns &asked) const;

    // The best entities for some queries, at most QUERY_CHUNK; see best_rows.
    TopK best(const Columns &asked, int64_t k, const RowLists *excluded, const std::vector<int64_t> *candidates) const;

    // The scores of queries and entities, one of each.
    std::vector<float> pair_scores(const std::vector<float> &queries, const std::vector<int64_t> &ids) const;

private:
    EntityTable(const EntityTable &before, Labels labels, Segments segments);
    std::vector<float> rows_of(const std::vector<int64_t> &ids) const;
    void open_on_gpu();

    Labels labels_;
    const QueryVectors *queries_;
    Scoring scoring_;
    Segments segments_;                 // the first one is the bundle's
    std::shared_ptr<AddedRows> added_;  // where those behind it lie
    AnswerCall answer_;
    const Gpu *gpu_ = nullptr;
    std::shared_ptr<const GpuQueries> gpu_queries_;
    std::unique_ptr<const GpuTable> on_gpu_;
};

}  // namespace mmkg::internal
