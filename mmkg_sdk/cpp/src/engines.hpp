// The engines that `mmkg-sdk build-engine` keeps in the user's cache: CACHE/engines, see mmkg_sdk/backends/tensorrt.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "opened.hpp"

namespace mmkg::internal {

// Sizes of an axis that an engine takes.
struct SizeRange {
    int64_t least = 0, most = 0;
};

using EngineProfile = std::map<std::string, SizeRange>;  // by axis

struct Engine {
    std::string plan;
    std::vector<EngineProfile> profiles;  // in the engine's order
};

// What an engine must be for.
struct EngineTarget {
    std::string graph;
    std::string content;     // of the graph and its weights, see graph_content
    std::string version;     // of TensorRT, like "10.14.1.48"
    int32_t major = 0, minor = 0;  // compute capability of the GPU
};

// A hash of a graph and of all files that it reads weights from, as the bundle has verified them.
std::string graph_content(const Opened &opened, const std::string &graph);

// The engine that was built last, of those that can be opened here. An engine is code, and the hashes beside it find
// damage only: a folder that others may write to is refused.
//
// Throws Error (backend): there is none, or it is not as its record says.
Engine fitting_engine(const std::filesystem::path &folder, const EngineTarget &target);

}  // namespace mmkg::internal
