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

constexpr uint64_t CHUNK = 1 << 20, TREE_CHUNK = 8 << 20;
constexpr uint64_t GRAPH_LIMIT = 16 << 20;
// What a hole makes of a file takes hours to hash.
constexpr uint64_t MOST_BYTES = uint64_t{1} << 40;

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

// SHA-256 of a file, or its tree, in hexadecimal.
//
//   copy   room for all of it, or nullptr
std::string digest_of(PlainFile &file, char *copy, bool tree) {
    std::vector<char> chunk(copy == nullptr ? CHUNK : 0);
    Sha256 digest, part;
    uint64_t left = 0;  // of the part
    for (uint64_t place = 0; place < file.size();) {
        if (left == 0) left = TREE_CHUNK;
        char *to = copy == nullptr ? chunk.data() : copy + place;
        const size_t got = file.read(to, static_cast<size_t>(std::min({CHUNK, left, file.size() - place})));
        if (got == 0) break;  // it became shorter; the digest tells
        (tree ? part : digest).update(to, got);
        place += got, left -= got;
        if (tree && (left == 0 || place == file.size())) {
            const std::string bytes = part.digest();
            digest.update(bytes.data(), bytes.size());
            part = Sha256();
        }
    }
    return in_hex(digest.digest());
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

Content read_verified(const fs::path &path, const FileEntry &entry, Keep keep, bool follow_links) {
    const std::string name = path.string();
    std::error_code error;
    if (fs::symlink_status(path, error).type() == fs::file_type::not_found) {
        throw Error(Fault::bundle, name + " is missing. The copy is incomplete; fetch the bundle again.");
    }
    PlainFile file(path, follow_links);
    const uint64_t size = file.size();
    const std::string found = name + " has " + grouped(static_cast<int64_t>(size)) + " bytes";
    if (entry.bytes < 0 || size != static_cast<uint64_t>(entry.bytes)) {
        throw Error(Fault::bundle, found + ", bundle.json says " + grouped(entry.bytes) +
                                       ". The copy is incomplete or was changed; fetch the bundle again.");
    }
    if (path.extension() == ".onnx" && size > GRAPH_LIMIT) {
        throw Error(Fault::bundle, found + "; a graph keeps its weights outside and is small.");
    }
    if (size > MOST_BYTES) throw Error(Fault::bundle, found + "; a file of a bundle has at most 1 TiB.");
    Content content;
    std::unique_ptr<char[]> copy;
    try {
        if (keep == Keep::map) content = {file.map(), static_cast<size_t>(size)};
        if (keep == Keep::copy) {
            copy.reset(new (std::nothrow) char[std::max<size_t>(1, static_cast<size_t>(size))]);
            if (!copy) throw std::bad_alloc();  // sanitizers end a program whose usual `new` finds no memory
        }
    } catch (const std::bad_alloc &) {
        throw Error(Fault::bundle, found + ", and there is no memory for them.");
    }
    const bool tree = !entry.sha256_tree.empty();
    const std::string digest = digest_of(file, copy.get(), tree), &expected = tree ? entry.sha256_tree : entry.sha256;
    if (digest != expected) {
        throw Error(Fault::bundle, name + " was changed: its SHA-256" + (tree ? " tree" : "") + " is " + digest +
                                       ", bundle.json says " + expected + ". Fetch the bundle again.");
    }
    if (copy) {
        content.bytes = std::shared_ptr<const char>(copy.release(), std::default_delete<const char[]>());
        content.size = static_cast<size_t>(size);
    }
    return content;
}

}  // namespace mmkg::internal
