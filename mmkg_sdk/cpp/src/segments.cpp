#include "segments.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace mmkg::internal {
namespace {

// Rows from which a segment is no longer made anew when rows are added, as in Python.
constexpr int64_t FULL = 4096;
// That memory is taken for when the first entity is added.
constexpr size_t LEAST_ROWS = 64;

// What of ascending lists lies within some rows, counted from the first of these.
RowLists within(const RowLists &lists, int64_t first, int64_t end) {
    RowLists found;
    for (size_t i = 0; i + 1 < lists.offsets.size(); ++i) {
        for (auto at = static_cast<size_t>(lists.offsets[i]); at < static_cast<size_t>(lists.offsets[i + 1]); ++at) {
            if (lists.ids[at] >= first && lists.ids[at] < end) found.ids.push_back(lists.ids[at] - first);
        }
        found.offsets.push_back(static_cast<int64_t>(found.ids.size()));
    }
    return found;
}

struct Found {
    std::vector<int64_t> ids, counts;  // [batch, k], of which so many count
    std::vector<float> scores;
};

Found best_of(const Segment &segment, const std::vector<float> &queries, int64_t batch, int64_t k,
              const RowLists *excluded, const std::vector<int64_t> *candidates) {
    RowLists hidden;
    if (excluded != nullptr) hidden = within(*excluded, segment.first(), segment.end());
    std::vector<int64_t> rows;
    if (candidates != nullptr) {
        const auto first = std::lower_bound(candidates->begin(), candidates->end(), segment.first());
        const auto end = std::lower_bound(first, candidates->end(), segment.end());
        std::transform(first, end, std::back_inserter(rows), [&](int64_t id) { return id - segment.first(); });
    }
    const auto size = static_cast<size_t>(batch);
    Found found{std::vector<int64_t>(size * static_cast<size_t>(k)), std::vector<int64_t>(size, 0), {}};
    found.scores.resize(found.ids.size());
    if (candidates != nullptr && rows.empty()) return found;
    check(mmkg_top_k(segment.scan(), queries.data(), batch, k, excluded == nullptr ? nullptr : hidden.offsets.data(),
                     hidden.ids.data(), candidates == nullptr ? nullptr : rows.data(),
                     static_cast<int64_t>(rows.size()), found.ids.data(), found.scores.data(), found.counts.data(),
                     nullptr),
          "a score");
    return found;
}

}  // namespace

Segment::Segment(std::shared_ptr<const float> vectors, int64_t first, int64_t rows, const Scoring &scoring,
                 std::optional<int32_t> storage)
    : vectors_(std::move(vectors)), first_(first), rows_(rows), width_(scoring.width) {
    if (!storage) return;
    mmkg_scan *handle = nullptr;
    check(mmkg_scan_open(vectors_.get(), rows, width_, scoring.score, scoring.margin, MMKG_BEST, *storage, scoring.pool,
                         &handle),
          "the table");
    scan_.reset(handle);
}

std::shared_ptr<const float> AddedRows::append(int64_t count, const std::vector<float> &vectors, int64_t width) {
    const size_t before = static_cast<size_t>(count * width), total = before + vectors.size();
    if (total > capacity_) {
        const size_t capacity = std::max(LEAST_ROWS * static_cast<size_t>(width), 2 * total);
        std::shared_ptr<float> memory(new float[capacity], std::default_delete<float[]>());
        std::copy_n(memory_.get(), before, memory.get());
        memory_ = std::move(memory), capacity_ = capacity;
    }
    std::copy(vectors.begin(), vectors.end(), memory_.get() + before);
    return memory_;
}

Segments grown(const Segments &before, const std::shared_ptr<const float> &added, int64_t end,
               const Scoring &scoring, std::optional<int32_t> storage) {
    Segments segments = before;
    int64_t first = segments.back()->end();
    const auto length = [&] { return first - segments.back()->first(); };  // of the last one
    const auto drop = [&] {  // it is made anew with what is behind it
        first = segments.back()->first();
        segments.pop_back();
    };
    if (segments.size() > 1 && length() < FULL) drop();
    // Sizes fall at least by half from segment to segment, so there are few, and a row is in few that are made.
    while (segments.size() > 1 && end - first >= FULL && length() < 2 * (end - first)) drop();
    const float *rows = added.get() + (first - segments.front()->end()) * scoring.width;
    segments.push_back(std::make_shared<const Segment>(std::shared_ptr<const float>(added, rows), first, end - first,
                                                       scoring, storage));
    return segments;
}

TopK best_rows(const Segments &segments, const std::vector<float> &queries, int64_t batch, int64_t k,
               const RowLists *excluded, const std::vector<int64_t> *candidates) {
    std::vector<Found> parts;
    for (const auto &segment : segments) parts.push_back(best_of(*segment, queries, batch, k, excluded, candidates));
    TopK best;
    for (size_t query = 0; query < static_cast<size_t>(batch); ++query) {
        std::vector<std::pair<float, int64_t>> found;
        for (size_t i = 0; i < segments.size(); ++i) {
            const size_t start = query * static_cast<size_t>(k);
            for (size_t at = start; at < start + static_cast<size_t>(parts[i].counts[query]); ++at)
                found.emplace_back(parts[i].scores[at], parts[i].ids[at] + segments[i]->first());
        }
        std::sort(found.begin(), found.end(), [](const auto &one, const auto &two) {
            return one.first != two.first ? one.first > two.first : one.second < two.second;
        });
        found.resize(std::min(found.size(), static_cast<size_t>(k)));
        for (const auto &[score, id] : found) best.scores.push_back(score), best.rows.ids.push_back(id);
        best.rows.offsets.push_back(static_cast<int64_t>(best.rows.ids.size()));
    }
    return best;
}

}  // namespace mmkg::internal
