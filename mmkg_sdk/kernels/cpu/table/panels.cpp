#include "table/panels.h"

#include <algorithm>
#include <cstdint>

namespace mmkg {

namespace {

// A vector that lies across two cache lines costs two loads.
float *aligned(float *storage) {
    const auto address = reinterpret_cast<uintptr_t>(storage);
    return storage + ((64 - address % 64) % 64) / sizeof(float);
}

// The largest panel that the queries (nearly) fill, for an empty lane costs as much as another; what does not fit goes
// into a smaller one. Null where canonical scores of all rows cost less than any panel.
const PanelKernel *kernel_for(const mmkg_scan &scan, int64_t queries) {
    if (queries <= scan.set.small_batch[scan.score]) return nullptr;
    const PanelKernel *panels = scan.set.panels[scan.score], *kernel = panels;
    for (int i = 1; i < kPanels; ++i) {
        const PanelKernel &larger = panels[i];
        if (2 * queries >= larger.lanes + kernel->lanes) kernel = &larger;
    }
    return kernel;
}

}  // namespace

Panels::Panels(const mmkg_scan &scan, const float *queries, int64_t batch) {
    int64_t lane = 0;
    for (int64_t first = 0; first < batch;) {
        const int64_t left = batch - first;
        const PanelKernel *kernel = kernel_for(scan, left);
        const int lanes = kernel ? kernel->lanes : 0;
        const int64_t count = kernel ? std::min<int64_t>(left, lanes) : left;
        list_.push_back(Panel{first, static_cast<int>(count), kernel, lane, nullptr});
        lane += lanes;
        first += count;
    }
    slopes_.assign(lane, 0.0f);
    if (!lane) return;
    storage_.reset(new float[lane * scan.width + 16]());
    float *to = aligned(storage_.get());
    for (Panel &panel : list_) {
        if (!panel.kernel) continue;
        pack(scan, queries, panel, to);
        panel.packed = to;
        to += panel.kernel->lanes * scan.width;
    }
}

void Panels::pack(const mmkg_scan &scan, const float *queries, const Panel &panel, float *to) {
    const int64_t lanes = panel.kernel->lanes;
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
        const float norm = scan.bounds.norm(scan.exact_one(query, query));
        slopes_[panel.first_lane + lane] = scan.bounds.slope(norm);
    }
}

}  // namespace mmkg
