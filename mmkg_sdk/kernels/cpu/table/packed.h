// A copy of the table in bfloat16 or 8 bits for the first pass of inner products, and queries in the same form.
#pragma once

#include <cstdint>
#include <vector>

#include "common/aligned.h"
#include "scoring/packed_set.h"

struct mmkg_scan;

namespace mmkg {

class PackedTable {
public:
    // storage: MMKG_BFLOAT16 or MMKG_INT8; word_cost: of its pass. Nothing is packed yet.
    PackedTable(int storage, int64_t rows, int64_t width, double word_cost);

    // Packs the rows of some groups; norms: of each row, infinite where all its scores have to be settled.
    void pack(const float *table, const float *norms, int64_t first_group, int64_t end_group);

    int64_t groups() const { return bounds_.size(); }
    int64_t places() const { return places_; }
    int storage() const { return storage_; }
    int64_t bytes() const;
    int64_t tile_bytes() const { return kTileGroups * kGroupRows * places_ * int64_t{sizeof(uint32_t)}; }
    // As mmkg_scan::cost.
    double cost(int64_t pairs) const { return word_cost_ * static_cast<double>(pairs) * static_cast<double>(places_); }
    // Groups from first up to end, with the table's own masks or those of a call.
    PackedGroups part(int64_t first, int64_t end, const uint16_t *masks) const;

private:
    double pack_row(const float *row, bool finite, uint32_t *words, float *scale) const;

    const int storage_;
    const int64_t rows_, width_, places_;
    const double word_cost_;
    Aligned<uint32_t> words_;
    Aligned<float> scales_;  // int8 only
    Aligned<GroupBound> bounds_;
    Aligned<uint16_t> masks_;
};

class PackedBatch {
public:
    PackedBatch(const mmkg_scan &scan, const PackedTable &table, const float *queries, int64_t batch);

    auto begin() const { return panels_.begin(); }
    auto end() const { return panels_.end(); }
    int64_t panels() const { return static_cast<int64_t>(panels_.size()); }

private:
    void pack(const mmkg_scan &scan, int storage, const float *query, PackedQueries &panel, int lane);

    std::vector<PackedQueries> panels_;
    Aligned<uint32_t> words_;
};

// The bound of a score's error with 8 bits, in standard deviations of the scores of a query: estimated from a sample of
// the rows, for a query in a random direction that loses as much as a row would with codes up to query_codes.
double int8_error(const float *table, const float *norms, int64_t rows, int64_t width, int query_codes);

}  // namespace mmkg
