#include "ranking/shortlists.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

namespace mmkg {

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr int64_t kSlots = kGroupRows;  // what a pass may add beyond the limit
constexpr int64_t kPairs = 64;                        // settled at a time

// Lists are cut when they have grown to a few times what stays.
int64_t limit_of(int64_t k) { return 3 * k + std::min<int64_t>(5 * k, 1024) + 64; }

}  // namespace

Shortlists::Shortlists(const TopKTask &task, const PackedBatch &queries)
    : task_(task),
      batch_(queries),
      limit_(limit_of(task.k)),
      lists_(task.batch),
      uppers_(new float[task.batch * (limit_ + kSlots)]),
      lowers_(new float[task.batch * (limit_ + kSlots)]),
      ids_(new uint32_t[task.batch * (limit_ + kSlots)]),
      thresholds_(task.batch, -kInfinity),
      values_(kMaxPackedQueries * kPassRows),
      units_(task.batch),
      keys_(task.batch),
      settled_(task.batch, 0) {
    for (int64_t i = 0; i < task.batch; ++i) {
        const int64_t start = i * (limit_ + kSlots);
        lists_[i] = {uppers_.get() + start, lowers_.get() + start, ids_.get() + start, 0};
    }
    for (const PackedQueries &panel : queries) std::copy_n(panel.unit, panel.count, units_.begin() + panel.first);
}

void Shortlists::scan(const PackedTable &table, int64_t first, int64_t end, const uint16_t *masks) {
    for (const PackedQueries &panel : batch_) {
        for (int64_t at = first; at < end; at += kPassGroups) {
            const PackedGroups groups = table.part(at, std::min(at + kPassGroups, end), masks);
            pass().score[panel.count - 1](groups, panel, values_.data());
            for (int lane = 0; lane < panel.count; ++lane) {
                const int64_t query = panel.first + lane;
                const float *values = values_.data() + lane * kPassRows;
                if (thresholds_[query] == -kInfinity) begin(query, groups, panel, values);
                for (int64_t group = 0; group < groups.count;) {
                    group = pass().select(groups, panel, lane, values, group, thresholds_[query], limit_, lists_[query]);
                    if (lists_[query].size > limit_) tighten(query);
                }
            }
        }
    }
}

// A threshold from the first values. Any of their rows may be excluded, so as many more must reach it.
void Shortlists::begin(int64_t query, const PackedGroups &groups, const PackedQueries &panel, const float *values) {
    const int lane = static_cast<int>(query - panel.first);
    const int64_t excluded = task_.excluded.end(query) - task_.excluded.begin(query);
    float error = 0.0f;
    for (int64_t group = 0; group < groups.count; ++group) {
        if (groups.masks[group] != kAllRows) return;
        const float own = error_of(panel, lane, groups.bounds[group]);
        if (!(own <= std::numeric_limits<float>::max())) return;
        error = std::max(error, own);
    }
    thresholds_[query] = pass().reached_by(values, groups.count * kGroupRows, task_.k + excluded) - error;
}

void Shortlists::tighten(int64_t query) {
    Shortlist &list = lists_[query];
    drop_excluded(query);
    thresholds_[query] = std::max(thresholds_[query], pass().reached_by(list.lower, list.size, task_.k));
    drop_below(query, thresholds_[query]);
    if (list.size <= limit_ - limit_ / 4) return;
    std::vector<Open> open;
    for (int64_t i = 0; i < list.size; ++i) open.push_back({list.upper[i], list.ids[i]});
    list.size = 0;
    thresholds_[query] = std::max(thresholds_[query], settle_open(query, open, keys_[query]));
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
        most = std::max(most, part->thresholds_[query]);
    }
    most = std::max(most, parts[0]->pass().reached_by(lowers.data(), static_cast<int64_t>(lowers.size()), k));
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
