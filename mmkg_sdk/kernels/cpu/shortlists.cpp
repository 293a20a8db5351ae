#include "shortlists.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

namespace mmkg {

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr int64_t kSlots = kTileGroups * kGroupRows;  // what a scan may add beyond the limit
constexpr int64_t kPairs = 64;                        // settled at a time

float kth_largest(std::vector<float> &values, int64_t k) {
    std::nth_element(values.begin(), values.begin() + k - 1, values.end(), std::greater<>());
    return values[k - 1];
}

}  // namespace

Shortlists::Shortlists(const TopKTask &task, const PackedBatch &queries)
    : task_(task),
      batch_(queries),
      limit_(3 * task.k + 64),
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
    const PackedScan *scans = task_.scan.set.packed[table.storage()];
    const float *thresholds = thresholds_.data();
    for (const PackedQueries &panel : batch_) {
        for (int64_t at = first; at < end;) {
            const PackedGroups left = table.part(at, end, masks);
            at += scans[panel.count - 1](left, panel, thresholds, limit_, lists_.data() + panel.first);
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
    if (list.size >= task_.k) {
        ranked_.assign(list.lower, list.lower + list.size);
        threshold(query) = std::max(threshold(query), kth_largest(ranked_, task_.k));
        drop_below(query, threshold(query));
    }
    if (list.size > limit_ - limit_ / 4) settle_list(query);
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

void Shortlists::settle_list(int64_t query) {
    Shortlist &list = lists_[query];
    std::vector<uint64_t> &keys = keys_[query];
    const mmkg_scan &scan = task_.scan;
    for (int64_t first = 0; first < list.size; first += kPairs) {
        const int64_t count = std::min(kPairs, list.size - first);
        const float *queries[kPairs], *rows[kPairs];
        float scores[kPairs];
        for (int64_t i = 0; i < count; ++i) {
            queries[i] = task_.query(query);
            rows[i] = scan.table + int64_t{list.ids[first + i]} * scan.width;
        }
        scan.exact_pairs(queries, rows, count, scores);
        for (int64_t i = 0; i < count; ++i) {
            const int64_t id = list.ids[first + i];
            if (std::isnan(scores[i])) throw NotANumber();
            if (scores[i] > -kInfinity && !task_.excluded.hold(query, id)) keys.push_back(key_of(scores[i], id));
        }
    }
    settled_[query] += list.size;
    list.size = 0;
    if (static_cast<int64_t>(keys.size()) < task_.k) return;
    std::nth_element(keys.begin(), keys.begin() + task_.k - 1, keys.end(), std::greater<>());
    keys.resize(task_.k);
    const float low = scan.bounds.packed_low(score_of(keys.back()), units_[query]);
    threshold(query) = std::max(threshold(query), low);  // NaN leaves it as it is
}

void Shortlists::settle(std::vector<std::unique_ptr<Shortlists>> &parts, int64_t query, std::vector<uint64_t> &keys) {
    const int64_t k = parts[0]->task_.k;
    std::vector<float> lowers;
    float most = -kInfinity;
    for (const auto &part : parts) {
        part->drop_excluded(query);
        const Shortlist &list = part->lists_[query];
        lowers.insert(lowers.end(), list.lower, list.lower + list.size);
        most = std::max(most, part->threshold(query));
    }
    if (static_cast<int64_t>(lowers.size()) >= k) most = std::max(most, kth_largest(lowers, k));
    keys.clear();
    for (const auto &part : parts) {
        part->drop_below(query, most);
        part->settle_list(query);
        keys.insert(keys.end(), part->keys_[query].begin(), part->keys_[query].end());
    }
}

}  // namespace mmkg
