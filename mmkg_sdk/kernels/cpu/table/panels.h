// Queries, repacked for the first pass.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "table/scan.h"

namespace mmkg {

// Consecutive queries that are scored together.
struct Panel {
    int64_t first;       // query
    int count;           // of queries
    const PanelKernel *kernel;  // null: too few for tiles, their scores are all canonical
    int64_t first_lane;         // in arrays that hold one number per lane
    const float *packed;
};

class Panels {
public:
    Panels(const mmkg_scan &scan, const float *queries, int64_t batch);

    auto begin() const { return list_.begin(); }
    auto end() const { return list_.end(); }
    int64_t lanes() const { return static_cast<int64_t>(slopes_.size()); }
    const float *slopes() const { return slopes_.data(); }

private:
    void pack(const mmkg_scan &scan, const float *queries, const Panel &panel, float *to);

    std::vector<Panel> list_;
    std::vector<float> slopes_;  // per lane; 0 where there is no query
    std::unique_ptr<float[]> storage_;
};

}  // namespace mmkg
