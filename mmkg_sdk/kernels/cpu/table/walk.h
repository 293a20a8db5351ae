// Goes through rows and panels: tiles where there are enough queries, canonical scores where there are few.
#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "table/panels.h"
#include "table/scan.h"

namespace mmkg {

// Rows of a block stay in the second-level cache while all panels pass over them.
constexpr int64_t kBlockBytes = 512 << 10;
// Rows whose canonical scores are made at a time stay in the first-level cache while a few queries pass over them.
constexpr int64_t kExactBytes = 16 << 10;
constexpr int64_t kMaxExactRows = 64, kMaxExactQueries = 4;
constexpr int kMaxHits = kMaxTileRows * kMaxPanelLanes;

// The rows that are ranked: all, or those of an ascending list.
struct Candidates {
    const int64_t *ids;  // null: 0, 1, 2, ...
    int64_t count;

    int64_t id(int64_t i) const { return ids ? ids[i] : i; }
};

// A task has
//   int tile(const Panel &, Tile &, Hit *)               its first pass over a tile
//   void settle(int64_t query, int64_t id, float score)  a canonical score that the first pass could not do without
template <class Task>
class Walk {
public:
    Walk(const mmkg_scan &scan, const Panels &panels, const float *queries, Candidates candidates, Task &task)
        : scan_(scan),
          panels_(panels),
          queries_(queries),
          candidates_(candidates),
          task_(task) {}

    static int64_t block_rows(const mmkg_scan &scan) {
        const int64_t step = scan.set.tile_rows[scan.score];
        return std::max<int64_t>(2, kBlockBytes / (scan.width * int64_t{sizeof(float)} * step)) * step;
    }

    // Candidates from first up to end, at most a block.
    void rows(int64_t first, int64_t end) {
        if (first >= end) return;
        const float *data = candidates_.ids ? gathered(first, end) : scan_.table + first * scan_.width;
        for (const Panel &panel : panels_) {
            if (panel.kernel) {
                tiles(panel, data, first, end);
            } else {
                exact(panel, data, first, end);
            }
        }
    }

private:
    const float *gathered(int64_t first, int64_t end) {
        rows_.resize(block_rows(scan_) * scan_.width);
        for (int64_t i = first; i < end; ++i) {
            const float *row = scan_.table + candidates_.id(i) * scan_.width;
            std::memcpy(rows_.data() + (i - first) * scan_.width, row, scan_.width * sizeof(float));
        }
        return rows_.data();
    }

    void tiles(const Panel &panel, const float *data, int64_t first, int64_t end) {
        const int step = scan_.set.tile_rows[scan_.score];
        Hit hits[kMaxHits];
        for (; first + step <= end; first += step, data += step * scan_.width) {
            const bool more = first + 2 * step <= end;
            Tile tile{};
            tile.rows = data;
            tile.stride = static_cast<ptrdiff_t>(scan_.width);
            tile.upcoming = more ? data + step * scan_.width : data;
            tile.panel = panel.packed;
            tile.coordinates = scan_.score == MMKG_INNER_PRODUCT ? scan_.width : scan_.width / 2;
            tile.norm = largest_norm(first, step);
            tile.slope = panels_.slopes() + panel.first_lane;
            settle(panel, data, first, hits, task_.tile(panel, tile, hits));
        }
        exact(panel, data, first, end);
    }

    void settle(const Panel &panel, const float *data, int64_t first, Hit *hits, int found) {
        const float *queries[kMaxHits], *rows[kMaxHits];
        int kept = 0;
        for (int i = 0; i < found; ++i) {
            if (hits[i].lane >= panel.count) continue;
            queries[kept] = queries_ + (panel.first + hits[i].lane) * scan_.width;
            rows[kept] = data + hits[i].row * scan_.width;
            hits[kept++] = hits[i];
        }
        if (!kept) return;
        float scores[kMaxHits];
        scan_.exact_pairs(queries, rows, kept, scores);
        for (int i = 0; i < kept; ++i) {
            task_.settle(panel.first + hits[i].lane, candidates_.id(first + hits[i].row), scores[i]);
        }
    }

    void exact(const Panel &panel, const float *data, int64_t first, int64_t end) {
        float scores[kMaxExactQueries * kMaxExactRows];
        const int64_t fit = kExactBytes / (scan_.width * int64_t{sizeof(float)});
        const int64_t step = std::min(kMaxExactRows, std::max<int64_t>(4, fit));
        for (; first < end; first += step, data += step * scan_.width) {
            const int64_t count = std::min(step, end - first);
            for (int64_t query = panel.first; query < panel.first + panel.count; query += kMaxExactQueries) {
                const int64_t queries = std::min(kMaxExactQueries, panel.first + panel.count - query);
                scan_.exact_rows(queries_ + query * scan_.width, queries, data, count, scores);
                for (int64_t q = 0; q < queries; ++q) {
                    const float *own = scores + q * count;
                    for (int64_t i = 0; i < count; ++i) task_.settle(query + q, candidates_.id(first + i), own[i]);
                }
            }
        }
    }

    float largest_norm(int64_t first, int count) const {
        if (scan_.norms.empty()) return 0.0f;
        float most = 0.0f;
        for (int64_t i = first; i < first + count; ++i) most = std::max(most, scan_.norms[candidates_.id(i)]);
        return most;
    }

    const mmkg_scan &scan_;
    const Panels &panels_;
    const float *const queries_;
    const Candidates candidates_;
    Task &task_;
    std::vector<float> rows_;  // gathered
};

}  // namespace mmkg
