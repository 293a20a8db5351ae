#include "engines.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "json.hpp"
#include "onnx_file.hpp"
#include "sha256.hpp"
#include "text.hpp"

namespace mmkg::internal {
namespace {

namespace fs = std::filesystem;

constexpr int64_t RECORD_FORMAT = 1;
constexpr uint64_t RECORD_LIMIT = 1 << 20;
constexpr size_t KEY_DIGITS = 24;  // of hashes, in names

// Why an entry of the cache cannot be taken.
struct Unusable : std::runtime_error {
    using std::runtime_error::runtime_error;
};

void check_private(const fs::path &folder) {
    struct stat found {};
    if (::lstat(folder.c_str(), &found) != 0 || !S_ISDIR(found.st_mode)) {
        throw Error(Fault::backend, "Options::engines is " + in_quotes(folder.string()) +
                                        "; expected the folder of engines that `mmkg-sdk build-engine` makes.");
    }
    if (found.st_uid != ::geteuid() || (found.st_mode & 077) != 0) {
        throw Error(Fault::backend, folder.string() + ", where engines are kept, is another user's or open to others, "
                                                      "who could put code there. If nobody did: chmod 700.");
    }
}

// A plain file of the cache, which is no link.
std::string content_of(const fs::path &path, uint64_t limit) {
    if (fs::is_symlink(fs::symlink_status(path))) throw Unusable(path.string() + " is a link");
    PlainFile file(path, false);
    if (file.size() > limit) throw Unusable(path.string() + " is larger than its record says");
    std::string content(static_cast<size_t>(file.size()), '\0');
    size_t size = 0;
    while (size < content.size()) {
        const size_t got = file.read(content.data() + size, content.size() - size);
        if (got == 0) break;
        size += got;
    }
    content.resize(size);
    return content;
}

Json record_in(const fs::path &path) {
    Json record = plain_json(content_of(path, RECORD_LIMIT));
    const std::string seal = record.at("seal");
    record.erase("seal");
    if (seal != sha256_hex(canonical_json(record))) throw Unusable(path.string() + " was changed");
    if (record.at("format") != Json(RECORD_FORMAT)) {
        throw Unusable(path.string() + " has format " + shown(record.at("format")) + ", this library reads " +
                       std::to_string(RECORD_FORMAT));
    }
    return record;
}

// Whether a version is the library's, but for what is not a number ("10.14.1.48.post1").
bool same_version(const std::string &version, const std::string &library) {
    return version == library || version.compare(0, library.size() + 1, library + ".") == 0;
}

bool runs_on(const Json &key, const EngineTarget &target) {
    const std::string capability = std::to_string(target.major) + "." + std::to_string(target.minor);
    const std::string listed = "," + key.at("architecture").get<std::string>() + ",";
    if (listed.find("," + capability + ",") != std::string::npos) return true;
    return key.at("options").at("hardware") == "ampere-plus" && target.major >= 8;
}

// What keeps an engine from being opened here; empty if nothing does.
std::string misfit(const Json &key, const EngineTarget &target) {
    const std::string version = key.at("version"), flavour = key.at("flavour");
    if (key.at("graph") != target.graph || key.at("content") != target.content) return "it is of another graph";
    if (flavour != "tensorrt") return "it is one of " + flavour;
    if (!same_version(version, target.version)) return "it is of TensorRT " + version + ", this is " + target.version;
    if (!runs_on(key, target)) {
        return "it is for a GPU of compute capability " + key.at("architecture").get<std::string>() + ", this is " +
               std::to_string(target.major) + "." + std::to_string(target.minor);
    }
    if (key.at("options").at("strip") == true) return "it was built without its weights";
    if (key.at("options").at("version_compatible") == true) return "it brings code of TensorRT's own";
    return "";
}

std::vector<EngineProfile> profiles_of(const Json &record) {
    std::vector<EngineProfile> profiles;
    for (const Json &entry : record.at("profiles")) {
        EngineProfile &profile = profiles.emplace_back();
        for (const auto &[axis, sizes] : entry.items())
            profile[axis] = {sizes.at("least").get<int64_t>(), sizes.at("most").get<int64_t>()};
    }
    return profiles;
}

Engine engine_of(const fs::path &path, const Json &record) {
    const Json &entry = record.at("engine");
    Engine engine{content_of(path, entry.at("bytes").get<uint64_t>()), profiles_of(record)};
    if (sha256_hex(engine.plan) != entry.at("sha256").get<std::string>()) throw Unusable(path.string() + " was changed");
    return engine;
}

}  // namespace

std::string graph_content(const Opened &opened, const std::string &graph) {
    const std::string file = graph + ".onnx";
    std::set<std::string> names = weight_files(file, opened.files.at(file).view(), opened.files);
    names.insert(file);
    // As Python's json.dumps(hashes, sort_keys=True) writes it.
    std::string hashes;
    for (const std::string &name : names) {
        hashes += (hashes.empty() ? "\"" : ", \"") + name + "\": \"" + opened.manifest.files.at(name).sha256 + "\"";
    }
    return sha256_hex("{" + hashes + "}");
}

Engine fitting_engine(const fs::path &folder, const EngineTarget &target) {
    check_private(folder);
    const fs::path entries = folder / (target.graph + "-" + target.content.substr(0, KEY_DIGITS));
    std::string why = "none was built for this graph and these weights";
    std::map<std::string, std::pair<fs::path, Json>> fits;  // by the time when they were built
    std::error_code none;
    for (const fs::directory_entry &entry : fs::directory_iterator(entries, none)) {
        if (entry.path().extension() != ".json") continue;
        try {
            const Json record = record_in(entry.path());
            const std::string differs = misfit(record.at("key"), target);
            if (differs.empty()) {
                const fs::path plan = fs::path(entry.path()).replace_extension(".engine");
                fits[record.at("built").get<std::string>()] = {plan, record};
            } else {
                why = differs;
            }
        } catch (const std::exception &wrong) {  // an error of reading, of JSON, or Unusable
            why = std::string("its record cannot be used: ") + wrong.what();
        }
    }
    for (auto fit = fits.rbegin(); fit != fits.rend(); ++fit) {
        try {
            return engine_of(fit->second.first, fit->second.second);
        } catch (const std::exception &wrong) {
            why = wrong.what();
        }
    }
    throw Error(Fault::backend, "there is no engine of " + target.graph + " in " + folder.string() +
                                    " that can be opened (" + why +
                                    "). Run mmkg-sdk build-engine on this machine, with TensorRT " + target.version + ".");
}

}  // namespace mmkg::internal
