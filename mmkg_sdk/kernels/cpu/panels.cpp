#include "panels.h"

#include <algorithm>
#include <cstdint>

namespace mmkg {

namespace {

// A vector that lies across two cache lines costs two loads.
float *aligned(float *storage) {
    const auto address = reinterpret_cast<uintptr_t>(storage);
    return storage + ((64 - address % 64) % 64) / sizeof(float);
}

}  // namespace

Panels::Panels(const mmkg_scan &scan, const float *queries, int64_t batch) {
    const int lanes = scan.set.lanes;
    const int64_t small = scan.set.small_batch[scan.score];
    int64_t lane = 0;
    for (int64_t first = 0; first < batch;) {
        const int64_t left = batch - first;
        // A panel that would be nearly empty costs more than canonical scores of the few queries that remain.
        int vectors = left <= small ? 0 : left - lanes > small ? 2 : 1;
        const int64_t count = vectors ? std::min<int64_t>(left, vectors * lanes) : left;
        list_.push_back(Panel{first, static_cast<int>(count), vectors, lane, nullptr});
        lane += vectors * lanes;
        first += count;
    }
    slopes_.assign(lane, 0.0f);
    if (!lane) return;
    storage_.reset(new float[lane * scan.width + 16]());
    float *to = aligned(storage_.get());
    for (Panel &panel : list_) {
        if (!panel.vectors) continue;
        pack(scan, queries, panel, to);
        panel.packed = to;
        to += panel.vectors * lanes * scan.width;
    }
}

void Panels::pack(const mmkg_scan &scan, const float *queries, const Panel &panel, float *to) {
    const int64_t lanes = panel.vectors * scan.set.lanes;
    const bool complex = scan.score == MMKG_COMPLEX_DISTANCE;
    const int64_t d = scan.width / 2;
    for (int64_t lane = 0; lane < panel.count; ++lane) {
        const float *query = queries + (panel.first + lane) * scan.width;
        if (complex) {
            for (int64_t c = 0; c < d; ++c) {
                to[2 * c * lanes + lane] = query[c];
                to[(2 * c + 1) * lanes + lane] = query[d + c];
            }
            continue;
        }
        for (int64_t c = 0; c < scan.width; ++c) to[c * lanes + lane] = query[c];
        float square;
        scan.exact(query, query, 1, &square);
        slopes_[panel.first_lane + lane] = scan.bounds.slope(scan.bounds.norm(square));
    }
}

}  // namespace mmkg
