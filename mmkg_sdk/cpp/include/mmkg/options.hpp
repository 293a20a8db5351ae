// options.hpp: how a bundle is opened to be asked.
#pragma once

namespace mmkg {

struct Options {
    // CPU threads of a call; 0 takes OMP_NUM_THREADS where it is set, else what affinity and control groups grant.
    int threads = 0;
    // Files of the bundle may be links to any place; see Bundle.
    bool follow_links = false;
};

}  // namespace mmkg
