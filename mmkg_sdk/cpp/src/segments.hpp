// A table in segments: each is ranked on its own, and the answers are merged to those of one table of all rows. So a
// table grows without being copied: what is added is a segment behind it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "kernels.hpp"

namespace mmkg::internal {

// How rows are scored.
struct Scoring {
    int64_t width = 0;
    int32_t score = MMKG_INNER_PRODUCT;
    float margin = 0;
    mmkg_pool *pool = nullptr;  // must stay
};

// Lists of rows, one a query: those of query i are ids[offsets[i]] up to ids[offsets[i + 1]].
struct RowLists {
    std::vector<int64_t> offsets{0}, ids;
};

// The best rows of each query, best first; of query i as in RowLists.
struct TopK {
    RowLists rows;
    std::vector<float> scores;
};

// Rows that lie together, with what ranks them. Never changes.
class Segment {
public:
    // vectors: float32 [rows, width], kept as long as this. storage: one of mmkg_storage; none: a GPU ranks them.
    Segment(std::shared_ptr<const float> vectors, int64_t first, int64_t rows, const Scoring &scoring,
            std::optional<int32_t> storage);

    int64_t first() const noexcept { return first_; }  // of its rows, in the table
    int64_t end() const noexcept { return first_ + rows_; }
    const float *row(int64_t id) const noexcept { return vectors_.get() + (id - first_) * width_; }
    const mmkg_scan *scan() const noexcept { return scan_.get(); }

private:
    std::shared_ptr<const float> vectors_;
    int64_t first_, rows_, width_;
    Scan scan_;
};

using Segments = std::vector<std::shared_ptr<const Segment>>;

// Memory that grows at its end, to twice the size when it is full. What was given of it stays as it was.
class AddedRows {
public:
    // The first `count` rows with others behind them; one thread at a time.
    std::shared_ptr<const float> append(int64_t count, const std::vector<float> &vectors, int64_t width);

private:
    std::shared_ptr<float> memory_;
    size_t capacity_ = 0;
};

// The segments of a table with more rows; adding rows one by one takes constant time each, amortised.
//
//   before   its segments until now; the first one never changes
//   added    all rows behind the first segment, those of `before` included
//   end      of the new table
//   storage  of the new segment; see Segment
Segments grown(const Segments &before, const std::shared_ptr<const float> &added, int64_t end, const Scoring &scoring,
               std::optional<int32_t> storage);

// The k best rows of each query, as mmkg_top_k gives those of one table.
//
//   queries      float32 [batch, width]
//   excluded     rows that are no answer, ascending; or nullptr
//   candidates   ascending; or nullptr: all
//
// Throws Error (backend): a score is NaN.
TopK best_rows(const Segments &segments, const std::vector<float> &queries, int64_t batch, int64_t k,
               const RowLists *excluded, const std::vector<int64_t> *candidates);

}  // namespace mmkg::internal
