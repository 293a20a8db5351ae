// The k best of each query: every part of the rows keeps its own lists, which are merged at the end.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <vector>

#include "float_mode.h"
#include "walk.h"

namespace mmkg {

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// A whole number that orders answers: higher scores first, of equal ones the lower id. Scores are never -0.
uint64_t key_of(float score, int64_t id) {
    uint32_t bits;
    std::memcpy(&bits, &score, sizeof bits);
    bits ^= bits >> 31 ? 0xFFFFFFFFu : 0x80000000u;
    return static_cast<uint64_t>(bits) << 32 | (0xFFFFFFFFu - static_cast<uint32_t>(id));
}

float score_of(uint64_t key) {
    uint32_t bits = static_cast<uint32_t>(key >> 32);
    bits ^= bits >> 31 ? 0x80000000u : 0xFFFFFFFFu;
    float score;
    std::memcpy(&score, &bits, sizeof score);
    return score;
}

int64_t id_of(uint64_t key) { return 0xFFFFFFFFu - static_cast<uint32_t>(key); }

// The best answers so far of one part of the rows: per query up to 2 k, cut to the k best whenever so many have come.
// That costs a few comparisons an answer, a heap several mispredicted branches.
class BestOfPart {
public:
    BestOfPart(const mmkg_scan &scan, const Panels &panels, int64_t batch, int64_t k, AnswerLists excluded)
        : scan_(scan),
          k_(k),
          excluded_(excluded),
          keys_(new uint64_t[2 * batch * k]),
          sizes_(batch, 0),
          kth_(batch, 0),
          worst_(batch, -kInfinity),
          lane_(batch, -1),
          low_(panels.lanes(), kInfinity) {
        for (const Panel &panel : panels) {
            if (!panel.kernel) continue;
            for (int lane = 0; lane < panel.count; ++lane) {
                lane_[panel.first + lane] = panel.first_lane + lane;
                low_[panel.first_lane + lane] = -kInfinity;
            }
        }
    }

    int tile(const Panel &panel, Tile &tile, Hit *hits) const {
        tile.low = low_.data() + panel.first_lane;
        return panel.kernel->select(tile, hits);
    }

    void settle(int64_t query, int64_t id, float score) {
        if (score < worst_[query]) return;
        offer(query, id, score);
    }

    const uint64_t *begin(int64_t query) const { return keys_.get() + 2 * query * k_; }
    const uint64_t *end(int64_t query) const { return begin(query) + sizes_[query]; }

private:
    void offer(int64_t query, int64_t id, float score) {
        if (std::isnan(score)) throw NotANumber();
        if (score == -kInfinity) return;
        const uint64_t key = key_of(score, id);
        if (key < kth_[query] || excluded_.hold(query, id)) return;
        keys_[2 * query * k_ + sizes_[query]++] = key;
        if (sizes_[query] == 2 * k_) cut(query);
    }

    void cut(int64_t query) {
        uint64_t *keys = keys_.get() + 2 * query * k_;
        std::nth_element(keys, keys + k_ - 1, keys + 2 * k_, std::greater<>());
        sizes_[query] = k_;
        kth_[query] = keys[k_ - 1];
        worst_[query] = score_of(kth_[query]);
        if (lane_[query] >= 0) low_[lane_[query]] = scan_.bounds.low(worst_[query]);
    }

    const mmkg_scan &scan_;
    const int64_t k_;
    const AnswerLists excluded_;
    std::unique_ptr<uint64_t[]> keys_;
    std::vector<int64_t> sizes_;
    std::vector<uint64_t> kth_;  // the k-th best of the last cut; 0 before
    std::vector<float> worst_;   // its score; -inf before
    std::vector<int64_t> lane_;  // of each query; -1: not in a tile
    std::vector<float> low_;     // per lane, see Tile; lanes without a query never hit
};

using Parts = std::vector<std::unique_ptr<BestOfPart>>;

void scan_part(Walk<BestOfPart> &walk, int64_t block, int64_t tile, int64_t first, int64_t end) {
    // The first tile of every block comes first: a sample from all over the part raises the thresholds before the rest
    // is seen, in whatever order the rows are (some tables are sorted by how well-known an entity is).
    for (int64_t at = first; at < end; at += block) walk.rows(at, std::min(at + tile, end));
    for (int64_t at = first; at < end; at += block) walk.rows(std::min(at + tile, end), std::min(at + block, end));
}

void merge(const Parts &parts, int64_t query, int64_t k, std::vector<uint64_t> &keys, int64_t *ids, float *scores,
           int64_t *count) {
    keys.clear();
    for (const auto &part : parts) keys.insert(keys.end(), part->begin(query), part->end(query));
    const auto kept = std::min<int64_t>(k, static_cast<int64_t>(keys.size()));
    if (kept < static_cast<int64_t>(keys.size())) {
        std::nth_element(keys.begin(), keys.begin() + kept, keys.end(), std::greater<>());
    }
    std::sort(keys.begin(), keys.begin() + kept, std::greater<>());
    for (int64_t i = 0; i < kept; ++i) {
        ids[i] = id_of(keys[i]);
        scores[i] = score_of(keys[i]);
    }
    *count = kept;
}

}  // namespace

}  // namespace mmkg

mmkg_status mmkg_top_k(const mmkg_scan *scan, const float *queries, int64_t batch, int64_t k,
                       const int64_t *excluded_offsets, const int64_t *excluded_ids, const int64_t *candidates,
                       int64_t num_candidates, int64_t *ids, float *scores, int64_t *counts) {
    using namespace mmkg;
    return guarded([&] {
        check_queries(scan, queries, batch);
        require(k >= 1 && k <= MMKG_MAX_K, "k is not from 1 to 2^20");
        require((ids && scores && counts) || batch == 0, "ids, scores or counts is NULL");
        const AnswerLists excluded{excluded_offsets, excluded_ids};
        excluded.check(batch, scan->rows, "excluded ids are not ascending or out of range, or their offsets are wrong");
        const Candidates rows{candidates, candidates ? num_candidates : scan->rows};
        require(rows.count >= 0, "num_candidates is negative");
        for (int64_t i = 0; candidates && i < rows.count; ++i) {
            const int64_t before = i ? candidates[i - 1] : -1;
            const bool fits = candidates[i] > before && candidates[i] < scan->rows;
            require(fits, "candidates are not ascending or out of range");
        }
        std::fill(counts, counts + batch, 0);
        if (!batch || !rows.count) return;

        const FloatMode mode;
        const Panels panels(*scan, scan->storage_pass, queries, batch);
        Pool::Lease lease(scan->pool);
        const int64_t tile = scan->set.tile_rows[scan->score];
        const int64_t block = Walk<BestOfPart>::block_rows(*scan, scan->storage_pass);
        const int count = parts_of(*scan, lease, rows.count * batch, (rows.count + tile - 1) / tile);
        Parts parts(count);
        const int64_t kept = std::min(k, rows.count);
        lease.run(count, [&](int part) {
            const FloatMode here;
            parts[part] = std::make_unique<BestOfPart>(*scan, panels, batch, kept, excluded);
            Walk<BestOfPart> walk(*scan, panels, queries, rows, *parts[part]);
            scan_part(walk, block, tile, part_start(rows.count, tile, part, count),
                      part_start(rows.count, tile, part + 1, count));
        });
        lease.run(kept * batch > 4096 ? count : 1, [&](int part) {
            const int shares = kept * batch > 4096 ? count : 1;
            std::vector<uint64_t> keys;
            const int64_t end = part_start(batch, 1, part + 1, shares);
            for (int64_t i = part_start(batch, 1, part, shares); i < end; ++i) {
                merge(parts, i, kept, keys, ids + i * k, scores + i * k, counts + i);
            }
        });
    });
}
