#include "table/packed.h"

#include <algorithm>
#include <cmath>

#include "simd/bfloat.h"
#include "simd/int8.h"
#include "table/scan.h"

namespace mmkg {

namespace {

constexpr int64_t kSampleRows = 1024;

int64_t places_of(int storage, int64_t width) {
    const int64_t in_word = storage == MMKG_INT8 ? 4 : 2;
    return (width + in_word * kPlacesStep - 1) / (in_word * kPlacesStep) * kPlacesStep;
}

int64_t groups_of(int64_t rows) {
    constexpr int64_t tile = kTileGroups * kGroupRows;
    return (rows + tile - 1) / tile * kTileGroups;
}

}  // namespace

PackedTable::PackedTable(int storage, int64_t rows, int64_t width, double word_cost)
    : storage_(storage),
      rows_(rows),
      width_(width),
      places_(places_of(storage, width)),
      word_cost_(word_cost),
      words_(groups_of(rows) * kGroupRows * places_),
      scales_(storage == MMKG_INT8 ? groups_of(rows) * kGroupRows : 0),
      bounds_(groups_of(rows)),
      masks_(groups_of(rows)) {}

void PackedTable::pack(const float *table, const float *norms, int64_t first_group, int64_t end_group) {
    for (int64_t group = first_group; group < end_group; ++group) {
        uint32_t *words = words_.data() + group * kGroupRows * places_;
        std::fill(words, words + kGroupRows * places_, storage_ == MMKG_INT8 ? kZeroRowWord : 0u);
        GroupBound bound{0.0f, 0.0f};
        masks_[group] = 0;
        for (int lane = 0; lane < kGroupRows; ++lane) {
            const int64_t id = group * kGroupRows + lane;
            float *scale = storage_ == MMKG_INT8 ? scales_.data() + id : nullptr;
            if (scale) *scale = 0.0f;
            if (id >= rows_) continue;
            masks_[group] = static_cast<uint16_t>(masks_[group] | 1u << lane);
            const double lost = pack_row(table + id * width_, std::isfinite(norms[id]), words + lane, scale);
            bound.norm = std::max(bound.norm, norms[id]);
            bound.lost = std::max(bound.lost, Bounds::norm_above(lost));
        }
        bounds_[group] = bound;
    }
}

// Gives the square of what was lost. A row that is not finite is always settled, whatever is packed.
double PackedTable::pack_row(const float *row, bool finite, uint32_t *words, float *scale) const {
    if (!finite) return 0.0;
    if (storage_ == MMKG_BFLOAT16) return pack_bfloat(row, width_, words, kGroupRows);
    *scale = int8_scale(row, width_, kMostCode);
    return pack_int8(row, width_, *scale, kMostCode, kRowOffset, words, kGroupRows).lost;
}

int64_t PackedTable::bytes() const {
    return words_.size() * int64_t{sizeof(uint32_t)} + scales_.size() * int64_t{sizeof(float)} +
           bounds_.size() * int64_t{sizeof(GroupBound)} + masks_.size() * int64_t{sizeof(uint16_t)};
}

PackedGroups PackedTable::part(int64_t first, int64_t end, const uint16_t *masks) const {
    return {words_.data() + first * kGroupRows * places_,
            places_,
            storage_ == MMKG_INT8 ? scales_.data() + first * kGroupRows : nullptr,
            bounds_.data() + first,
            (masks ? masks : masks_.data()) + first,
            static_cast<uint32_t>(first * kGroupRows),
            end - first};
}

PackedBatch::PackedBatch(const mmkg_scan &scan, const PackedTable &table, const float *queries, int64_t batch)
    : words_(batch * table.places()) {
    std::fill(words_.data(), words_.data() + words_.size(), 0u);
    // As even as possible: a panel of one query costs almost as much as one of four.
    const int64_t most = scan.set.packed[table.storage()].queries, panels = (batch + most - 1) / most;
    panels_.resize(panels);
    for (int64_t i = 0; i < panels; ++i) {
        PackedQueries &panel = panels_[i];
        panel.first = batch * i / panels;
        panel.count = static_cast<int>(batch * (i + 1) / panels - panel.first);
        panel.words = words_.data() + panel.first * table.places();
        for (int lane = 0; lane < panel.count; ++lane) {
            pack(scan, table.storage(), queries + (panel.first + lane) * scan.width, panel, lane);
        }
    }
}

void PackedBatch::pack(const mmkg_scan &scan, int storage, const float *query, PackedQueries &panel, int lane) {
    uint32_t *words = words_.data() + (panel.words - words_.data()) + lane;
    const float norm = scan.bounds.norm(scan.exact_one(query, query));
    double lost = 0.0;
    float unit = 1.0f;
    if (storage == MMKG_BFLOAT16) {
        lost = pack_bfloat(query, scan.width, words, panel.count);
    } else if (std::isfinite(norm)) {
        const int codes = scan.set.packed[MMKG_INT8].query_codes;
        const float scale = int8_scale(query, scan.width, codes);
        const PackedInt8 found = pack_int8(query, scan.width, scale, codes, 0, words, panel.count);
        lost = found.lost;
        panel.start[lane] = -kRowOffset * found.sum;
        if (scale > 0.0f) unit = scale;
    }
    const PackedSlopes slopes = scan.bounds.packed_slopes(norm, std::sqrt(lost), unit);
    panel.unit[lane] = unit;
    panel.norm_slope[lane] = slopes.norm;
    panel.lost_slope[lane] = slopes.lost;
    panel.constant[lane] = slopes.constant;
}

double int8_error(const float *table, const float *norms, int64_t rows, int64_t width, int query_codes) {
    const int64_t step = std::max<int64_t>(1, rows / kSampleRows);
    std::vector<uint32_t> words((width + 3) / 4);
    std::vector<double> sums(width), squares(width);
    double lost = 0.0, norm = 0.0, count = 0.0;
    for (int64_t id = 0; id < rows; id += step) {
        if (!std::isfinite(norms[id])) continue;
        const float *row = table + id * width;
        for (int64_t c = 0; c < width; ++c) {
            sums[c] += row[c];
            squares[c] += static_cast<double>(row[c]) * row[c];
        }
        const float scale = int8_scale(row, width, kMostCode);
        lost += std::sqrt(pack_int8(row, width, scale, kMostCode, 0, words.data(), 1).lost);
        norm += norms[id];
        count += 1.0;
    }
    if (count == 0.0 || norm == 0.0) return 0.0;
    double variance = 0.0;
    for (int64_t c = 0; c < width; ++c) variance += squares[c] / count - sums[c] / count * (sums[c] / count);
    // What rows and query lose is the bound if the query, with its codes, loses the share of a row; scores have a
    // variance of |q|^2 variance / width.
    const double both = (1.0 + static_cast<double>(kMostCode) / query_codes) * lost / count;
    return both * std::sqrt(static_cast<double>(width) / std::max(variance, 0x1p-1000));
}

}  // namespace mmkg
