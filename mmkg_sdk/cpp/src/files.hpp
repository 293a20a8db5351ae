// The files of a bundle: opened where links may lead, hashed, and read from what was hashed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "mmkg/error.hpp"

namespace mmkg::internal {

// A plain file that is open to be read: no device, no pipe. That is checked on the opened file, not on the name.
//
// A link is followed within the folder of `path` (as Kubernetes mounts a ConfigMap), into the blobs of a Hugging Face
// cache that the folder is a snapshot of, and elsewhere with `follow_links`.
//
// Throws Error (bundle).
class PlainFile {
public:
    PlainFile(const std::filesystem::path &path, bool follow_links);
    ~PlainFile();
    PlainFile(const PlainFile &) = delete;
    PlainFile &operator=(const PlainFile &) = delete;

    uint64_t size() const noexcept { return size_; }

    // Up to `count` bytes of what was not read yet; 0 at the end.
    size_t read(char *to, size_t count);

    // All of it, read-only; stays when the file is closed, replaced or deleted.
    std::shared_ptr<const char> map() const;

private:
    std::string name_;
    int descriptor_ = -1;
    uint64_t size_ = 0;
};

// What was verified of a file.
struct Content {
    std::shared_ptr<const char> bytes;  // keeps memory or map
    size_t size = 0;

    std::string_view view() const noexcept { return {bytes.get(), size}; }
};

// What bundle.json says of a file. The tree, of large files: SHA-256 over the SHA-256 of each 8 MiB, one behind the
// other; empty if there is none.
struct FileEntry {
    int64_t bytes = 0;
    std::string sha256, sha256_tree;
};

enum class Keep { nothing, copy, map };

// The content of a file, whose size and SHA-256, or tree if there is one, are those of its entry; empty with
// Keep::nothing.
//
// Throws Error (bundle): they are not, or it is no plain file.
Content read_verified(const std::filesystem::path &path, const FileEntry &entry, Keep keep, bool follow_links);

}  // namespace mmkg::internal
