// bundle.json: what a bundle is, and what it must say before any other file is opened.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include "config.hpp"
#include "contents.hpp"
#include "files.hpp"

namespace mmkg::internal {

struct Manifest {
    Config config;
    Contents contents;
    std::string family, precision;
    std::map<std::string, FileEntry> files;
    std::map<std::string, std::string> signatures;  // graph -> its inputs and outputs, as JSON
    int64_t trained_entities = 0;  // the first so many were trained, others added later; of those that predict
    std::map<std::string, int64_t> largest;  // sizes of the axes of the entity encoder's inputs
};

// bundle.json, with its own fields checked; no other file is touched.
//
// Throws Error (bundle): no bundle, an unfinished export, another format version or family, or a field that is not as
// it should be.
Manifest read_manifest(const std::filesystem::path &folder, bool follow_links);

}  // namespace mmkg::internal
