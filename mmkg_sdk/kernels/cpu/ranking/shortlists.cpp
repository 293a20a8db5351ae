#include "ranking/shortlists.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

namespace mmkg {

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr int64_t kSlots = kTileGroups * kGroupRows;  // what a scan may add beyond the limit
constexpr int64_t kPairs = 64;                        // settled at a time

// Lists are cut when they have grown to a few times what stays.
int64_t limit_of(int64_t k) { return 3 * k + std::min<int64_t>(5 * k, 1024) + 64; }

int64_t count_from(const float *values, int64_t size, float least) {
    int32_t count = 0;  // sizes are below 2^23; a vector of these holds as many as one of floats
    for (int64_t i = 0; i < size; ++i) count += values[i] >= least;
    return count;
}

// A number that at least k of the values reach, close to the largest one; -inf if there are not so many finite ones.
// Counting is many times faster than partial sorting, whose branches nothing predicts.
float reached_by(const float *values, int64_t size, int64_t k) {
    float low = kInfinity, high = -kInfinity;
    for (int64_t i = 0; i < size; ++i) {
        low = values[i] > -kInfinity && values[i] < low ? values[i] : low;
        high = values[i] > high ? values[i] : high;
    }
    if (count_from(values, size, low) < k) return -kInfinity;
    for (int step = 0; step < 8; ++step) {
        const float middle = low + (high - low) * 0.5f;
        if (count_from(values, size, middle) >= k) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

}  // namespace

Shortlists::Shortlists(const TopKTask &task, const PackedBatch &queries)
    : task_(task),
      batch_(queries),
      limit_(limit_of(task.k)),
      lists_(task.batch),
      uppers_(new float[task.batch * (limit_ + kSlots)]),
      lowers_(new float[task.batch * (limit_ + kSlots)]),
      ids_(new uint32_t[task.batch * (limit_ + kSlots)]),
      places_(task.batch),
      thresholds_(queries.panels() * kGroupRows, -kInfinity),
      units_(task.batch),
      keys_(task.batch),
      settled_(task.batch, 0) {
    for (int64_t i = 0; i < task.batch; ++i) {
        const int64_t start = i * (limit_ + kSlots);
        lists_[i] = {uppers_.get() + start, lowers_.get() + start, ids_.get() + start, 0};
    }
    int64_t start = 0;
    for (const PackedQueries &panel : queries) {
        for (int lane = 0; lane < panel.count; ++lane) {
            places_[panel.first + lane] = start + lane;
            units_[panel.first + lane] = panel.unit[lane];
        }
        start += kGroupRows;
    }
}

void Shortlists::scan(const PackedTable &table, int64_t first, int64_t end, const uint16_t *masks) {
    const PackedKernel *kernels = task_.scan.set.packed[table.storage()].kernels;
    const float *thresholds = thresholds_.data();
    for (const PackedQueries &panel : batch_) {
        for (int64_t at = first; at < end;) {
            const PackedGroups left = table.part(at, end, masks);
            at += kernels[panel.count - 1].select(left, panel, thresholds, limit_, lists_.data() + panel.first);
            for (int64_t i = panel.first; i < panel.first + panel.count; ++i) {
                if (lists_[i].size > limit_) tighten(i);
            }
        }
        thresholds += kGroupRows;
    }
}

void Shortlists::tighten(int64_t query) {
    Shortlist &list = lists_[query];
    drop_excluded(query);
    threshold(query) = std::max(threshold(query), reached_by(list.lower, list.size, task_.k));
    drop_below(query, threshold(query));
    if (list.size <= limit_ - limit_ / 4) return;
    std::vector<Open> open;
    for (int64_t i = 0; i < list.size; ++i) open.push_back({list.upper[i], list.ids[i]});
    list.size = 0;
    threshold(query) = std::max(threshold(query), settle_open(query, open, keys_[query]));
}

// An excluded row says nothing of the threshold. Where it may be NaN it stays to be settled, for that is an error.
void Shortlists::drop_excluded(int64_t query) {
    if (task_.excluded.begin(query) == task_.excluded.end(query)) return;
    Shortlist &list = lists_[query];
    int64_t kept = 0;
    for (int64_t i = 0; i < list.size; ++i) {
        if (list.lower[i] > -kInfinity && task_.excluded.hold(query, list.ids[i])) continue;
        list.upper[kept] = list.upper[i];
        list.lower[kept] = list.lower[i];
        list.ids[kept++] = list.ids[i];
    }
    list.size = kept;
}

void Shortlists::drop_below(int64_t query, float threshold) {
    Shortlist &list = lists_[query];
    int64_t kept = 0;
    for (int64_t i = 0; i < list.size; ++i) {
        const bool stays = !(list.upper[i] < threshold);
        list.upper[kept] = list.upper[i];
        list.lower[kept] = list.lower[i];
        list.ids[kept] = list.ids[i];
        kept += stays;
    }
    list.size = kept;
}

// Settles rows that are open, and keeps the keys of the best k. The k most promising ones come first, for their
// canonical scores rule out most of the others; gives what they say of the threshold.
float Shortlists::settle_open(int64_t query, std::vector<Open> &open, std::vector<uint64_t> &keys) {
    const auto first = std::min(task_.k, static_cast<int64_t>(open.size()));
    std::nth_element(open.begin(), open.begin() + first, open.end(),
                     [](const Open &a, const Open &b) { return a.upper > b.upper; });
    settle_rows(query, open.data(), first, keys);
    const float low = cut(query, keys);
    const auto worse = [low](const Open &row) { return row.upper < low; };
    const auto left = std::remove_if(open.begin() + first, open.end(), worse) - open.begin() - first;
    if (left == 0) return low;
    settle_rows(query, open.data() + first, left, keys);
    return cut(query, keys);
}

void Shortlists::settle_rows(int64_t query, const Open *open, int64_t count, std::vector<uint64_t> &keys) {
    const mmkg_scan &scan = task_.scan;
    settled_[query] += count;
    for (; count > 0; open += kPairs, count -= kPairs) {
        const int64_t now = std::min(kPairs, count);
        const float *rows[kPairs];
        float scores[kPairs];
        for (int64_t i = 0; i < now; ++i) rows[i] = scan.table + int64_t{open[i].id} * scan.width;
        scan.exact_chosen(task_.query(query), rows, now, scores);
        for (int64_t i = 0; i < now; ++i) {
            if (std::isnan(scores[i])) throw NotANumber();
            if (scores[i] == -kInfinity || task_.excluded.hold(query, open[i].id)) continue;
            keys.push_back(key_of(scores[i], open[i].id));
        }
    }
}

// Keeps the best k; gives a threshold that the k-th makes, or one that rules nothing out.
float Shortlists::cut(int64_t query, std::vector<uint64_t> &keys) const {
    if (static_cast<int64_t>(keys.size()) < task_.k) return -kInfinity;
    std::nth_element(keys.begin(), keys.begin() + task_.k - 1, keys.end(), std::greater<>());
    keys.resize(task_.k);
    return task_.scan.bounds.packed_low(score_of(keys.back()), units_[query]);
}

int64_t Shortlists::settle(std::vector<std::unique_ptr<Shortlists>> &parts, int64_t query,
                           std::vector<uint64_t> &keys) {
    const int64_t k = parts[0]->task_.k;
    float most = -kInfinity;
    std::vector<float> lowers;
    keys.clear();
    for (const auto &part : parts) {
        part->drop_excluded(query);
        const Shortlist &list = part->lists_[query];
        lowers.insert(lowers.end(), list.lower, list.lower + list.size);
        keys.insert(keys.end(), part->keys_[query].begin(), part->keys_[query].end());
        most = std::max(most, part->threshold(query));
    }
    most = std::max(most, reached_by(lowers.data(), static_cast<int64_t>(lowers.size()), k));
    std::vector<Open> open;
    int64_t settled = 0;
    for (const auto &part : parts) {
        const Shortlist &list = part->lists_[query];
        for (int64_t i = 0; i < list.size; ++i) {
            if (!(list.upper[i] < most)) open.push_back({list.upper[i], list.ids[i]});
        }
    }
    parts[0]->settle_open(query, open, keys);
    for (const auto &part : parts) settled += part->settled_[query];
    return settled;
}

}  // namespace mmkg
