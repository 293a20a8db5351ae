#include "threads.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <sched.h>
#endif

#include "mmkg.h"

namespace mmkg::internal {
namespace {

namespace fs = std::filesystem;

int usable_cores() {
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
    return static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
}

// CPUs that one group grants by version 2 (cpu.max) or 1 of control groups; "max" and -1 are no limit, here 0.
double quota_of(const fs::path &folder) {
    const auto quotient = [](std::istream &&first, std::istream &&second) {
        double quota = 0, period = 0;
        return first >> quota && second >> period && quota > 0 && period > 0 ? quota / period : 0.0;
    };
    std::ifstream both(folder / "cpu.max");
    std::string quota, period;
    if (both >> quota >> period) return quotient(std::istringstream(quota), std::istringstream(period));
    return quotient(std::ifstream(folder / "cpu.cfs_quota_us"), std::ifstream(folder / "cpu.cfs_period_us"));
}

bool names_cpu(const std::string &controllers) { return ("," + controllers + ",").find(",cpu,") != std::string::npos; }

// The least quota of this process's control groups for processor time, and of those above, as far as they are mounted.
double least_quota() {
    std::string line, path[2];  // of version 1, of version 2
    for (std::ifstream groups("/proc/self/cgroup"); std::getline(groups, line);) {
        const size_t first = line.find(':'), second = line.find(':', first + 1);
        if (first == std::string::npos || second == std::string::npos) continue;
        const std::string controllers = line.substr(first + 1, second - first - 1);
        if (controllers.empty() || names_cpu(controllers)) path[controllers.empty() ? 1 : 0] = line.substr(second + 1);
    }
    double least = 0;
    for (std::ifstream mounts("/proc/self/mountinfo"); std::getline(mounts, line);) {
        const size_t middle = line.find(" - ");
        if (middle == std::string::npos) continue;
        std::istringstream mount(line.substr(0, middle)), system(line.substr(middle + 3));
        std::string skipped, shown, place, kind, source, options;
        mount >> skipped >> skipped >> skipped >> shown >> place;
        system >> kind >> source >> options;
        const bool second = kind == "cgroup2";
        if ((!second && (kind != "cgroup" || !names_cpu(options))) || path[second ? 1 : 0].empty()) continue;
        // A mount shows the groups from `shown` on; one outside of it is not to be seen.
        fs::path inside = fs::path(path[second ? 1 : 0]).lexically_relative(shown);
        if (inside.empty() || *inside.begin() == "..") inside = ".";
        for (fs::path folder = (fs::path(place) / inside).lexically_normal();; folder = folder.parent_path()) {
            const double quota = quota_of(folder);
            if (quota > 0 && (least == 0 || quota < least)) least = quota;
            if (folder == fs::path(place) || folder == folder.root_path()) break;
        }
    }
    return least;
}

}  // namespace

int default_threads() {
    if (const char *asked = std::getenv("OMP_NUM_THREADS")) {
        const int threads = std::atoi(asked);  // OpenMP takes one number a level; the outermost counts
        if (threads >= 1) return std::min(threads, MMKG_MAX_THREADS);
    }
    const double quota = least_quota();
    const int cores = usable_cores();
    const int granted = quota > 0 && quota < cores ? std::max(1, static_cast<int>(quota)) : cores;
    return std::min(granted, MMKG_MAX_THREADS);
}

}  // namespace mmkg::internal
