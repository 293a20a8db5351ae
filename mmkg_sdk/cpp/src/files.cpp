#include "files.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <vector>

#include "sha256.hpp"
#include "text.hpp"

namespace mmkg::internal {
namespace {

namespace fs = std::filesystem;

constexpr size_t CHUNK = 1 << 20;
constexpr uint64_t GRAPH_LIMIT = 16 << 20;

Error not_opened(const std::string &name, const std::string &reason) {
    return {Fault::bundle, name + " cannot be opened as a plain file (" + reason + "). Fetch the bundle again."};
}

bool is_below(const fs::path &path, const fs::path &folder) {
    return std::mismatch(folder.begin(), folder.end(), path.begin(), path.end()).first == folder.end();
}

// Whether links in a folder may lead there.
bool may_lead_to(const fs::path &target, const fs::path &folder) {
    if (is_below(target, folder)) return true;
    // REPOSITORY/snapshots/REVISION/..., whose files are links into REPOSITORY/blobs
    for (fs::path parent = folder; parent != parent.root_path();) {
        parent = parent.parent_path();
        if (parent.filename() == "snapshots" && is_below(target, parent.parent_path() / "blobs")) return true;
    }
    return false;
}

}  // namespace

PlainFile::PlainFile(const fs::path &path, bool follow_links) : name_(path.string()) {
    std::error_code error;
    const fs::path target = fs::canonical(path, error);
    if (error) throw not_opened(name_, error.message());
    if (!follow_links && fs::is_symlink(fs::symlink_status(path, error))) {
        const fs::path folder = fs::canonical(path.parent_path().empty() ? "." : path.parent_path(), error);
        if (error) throw not_opened(name_, error.message());
        if (!may_lead_to(target, folder)) {
            throw Error(Fault::bundle, name_ + " is a link out of its folder, to " + target.string() +
                                           ". If that is meant, set follow_links, or copy the folder with `cp -rL`.");
        }
    }
    descriptor_ = ::open(target.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (descriptor_ < 0) throw not_opened(name_, std::strerror(errno));
    struct stat status = {};
    if (::fstat(descriptor_, &status) != 0 || !S_ISREG(status.st_mode)) {
        ::close(descriptor_);
        throw Error(Fault::bundle, name_ + " is not a plain file. A bundle holds plain files only; fetch it again.");
    }
    size_ = static_cast<uint64_t>(status.st_size);
}

PlainFile::~PlainFile() { ::close(descriptor_); }

size_t PlainFile::read(char *to, size_t count) {
    for (;;) {
        const ssize_t got = ::read(descriptor_, to, count);
        if (got >= 0) return static_cast<size_t>(got);
        if (errno != EINTR) {
            throw Error(Fault::bundle,
                        name_ + " cannot be read (" + std::strerror(errno) + "). Fetch the bundle again.");
        }
    }
}

std::shared_ptr<const char> PlainFile::map() const {
    const auto size = static_cast<size_t>(size_);
    if (size == 0) return std::make_shared<const char>('\0');
    void *place = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor_, 0);
    if (place == MAP_FAILED) throw std::bad_alloc();
    return {static_cast<const char *>(place), [place, size](const char *) { ::munmap(place, size); }};
}

Content read_verified(const fs::path &path, int64_t bytes, const std::string &sha256, Keep keep, bool follow_links) {
    const std::string name = path.string();
    std::error_code error;
    if (fs::symlink_status(path, error).type() == fs::file_type::not_found) {
        throw Error(Fault::bundle, name + " is missing. The copy is incomplete; fetch the bundle again.");
    }
    PlainFile file(path, follow_links);
    const std::string found = name + " has " + grouped(static_cast<int64_t>(file.size())) + " bytes";
    if (bytes < 0 || file.size() != static_cast<uint64_t>(bytes)) {
        throw Error(Fault::bundle, found + ", bundle.json says " + grouped(bytes) +
                                       ". The copy is incomplete or was changed; fetch the bundle again.");
    }
    if (path.extension() == ".onnx" && file.size() > GRAPH_LIMIT) {
        throw Error(Fault::bundle, found + "; a graph keeps its weights outside and is small.");
    }
    Content content;
    std::unique_ptr<char[]> copy;
    Sha256 digest;
    try {
        if (keep == Keep::map) content = {file.map(), static_cast<size_t>(file.size())};
        if (keep == Keep::copy) copy.reset(new char[std::max<size_t>(1, static_cast<size_t>(file.size()))]);
    } catch (const std::bad_alloc &) {
        throw Error(Fault::bundle, found + ", and there is no memory for them.");
    }
    std::vector<char> chunk(copy ? 0 : CHUNK);
    uint64_t place = 0;
    while (place < file.size()) {
        char *to = copy ? copy.get() + place : chunk.data();
        const size_t got = file.read(to, static_cast<size_t>(std::min<uint64_t>(CHUNK, file.size() - place)));
        if (got == 0) break;  // it became shorter; the digest tells
        digest.update(to, got);
        place += got;
    }
    const std::string hex = digest.hex();
    if (hex != sha256) {
        throw Error(Fault::bundle, name + " was changed: its SHA-256 is " + hex + ", bundle.json says " + sha256 +
                                       ". Fetch the bundle again.");
    }
    if (copy)
        content = {std::shared_ptr<const char>(copy.release(), std::default_delete<const char[]>()),
                   static_cast<size_t>(file.size())};
    return content;
}

}  // namespace mmkg::internal
