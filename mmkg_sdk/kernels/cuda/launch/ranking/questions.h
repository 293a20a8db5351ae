// Queries of one call of a scan, with their lists: checked, and brought to the GPU in parts.
#pragma once

#include <cstdint>
#include <vector>

#include "cuda/launch/ranking/scan.h"

namespace mmkg::cuda {

// What the caller gave; see mmkg_gpu_top_k and mmkg_gpu_ranks.
struct Questions {
    const mmkg_gpu_scan &scan;
    uint64_t queries;
    int32_t place;
    int64_t batch;
    const int64_t *offsets, *ids;  // null: no lists
    const int64_t *targets;        // null for top-k

    // Throws BadArgument.
    void check() const;

    int64_t list_length(int64_t query) const { return offsets == nullptr ? 0 : offsets[query + 1] - offsets[query]; }
};

// Rows of `width` numbers on the GPU into rows of scan.row_numbers, whose rest is left as it is.
void copy_query_rows(const mmkg_gpu_scan &scan, Address from, Address to, int64_t count, Stream stream);

// Some of the queries: their numbers, first to last.
struct Chosen {
    const int64_t *first;
    int64_t count;

    int64_t operator[](int64_t place) const { return first[place]; }
    bool in_a_row() const { return count == 0 || first[count - 1] - first[0] == count - 1; }  // they ascend
};

// Some queries on the GPU: float32 [batch, scan.row_numbers], lists with offsets from 0, targets.
class Uploaded {
public:
    // `work` has room for bytes().
    Uploaded(const Questions &all, Chosen chosen, Workspace &work, Stream stream);

    static int64_t bytes(const Questions &all, Chosen chosen);

    Address queries, offsets, ids, targets;
    int64_t longest = 0;

private:
    struct Layout {
        Layout(const Questions &all, Chosen chosen);
        int64_t row_bytes, total, queries, offsets, ids, targets, bytes;  // places from the start of one block
    };
    Uploaded(const Questions &all, Chosen chosen, const Layout &layout, Workspace &work, Stream stream);

    Pinned staging;  // read by the copy until the stream was waited for
};

}  // namespace mmkg::cuda
