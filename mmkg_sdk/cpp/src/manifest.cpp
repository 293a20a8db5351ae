#include "manifest.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "files.hpp"
#include "graph_specs.hpp"
#include "sha256.hpp"
#include "text.hpp"

namespace mmkg::internal {
namespace {

namespace fs = std::filesystem;

constexpr int64_t OLDEST_VERSION = 2, FORMAT_VERSION = 3;
constexpr size_t SIZE_LIMIT = 1 << 20;

[[noreturn]] void refuse(const std::string &place, const std::string &what) {
    throw Error(Fault::bundle, place + what);
}

std::string read_text(const fs::path &path, bool follow_links) {
    PlainFile file(path, follow_links);
    std::string text(SIZE_LIMIT + 1, '\0');
    size_t size = 0;
    while (const size_t got = file.read(text.data() + size, text.size() - size)) size += got;
    if (size > SIZE_LIMIT) refuse(path.string(), " is larger than 1 MiB; no export writes that.");
    text.resize(size);
    return text;
}

// Whether the manifest is as it was written; bundles of 0.2.0 have no seal.
void check_seal(const std::string &path, Json manifest) {
    if (!manifest.contains("seal")) return;
    const Json seal = manifest["seal"];
    manifest.erase("seal");
    if (seal != Json(sha256_hex(canonical_json(manifest)))) {
        refuse(path,
               " was changed after it was written: its seal is another than that of its content. Fetch the bundle "
               "again, or export it again with the settings that are wanted.");
    }
}

void check_fields(const std::string &path, const Json &manifest) {
    if (!manifest.is_object())
        refuse(path, std::string(" holds a ") + (manifest.is_array() ? "list" : manifest.type_name()) +
                         ", expected an object.");
    if (!manifest.contains("format_version") || !is_whole(manifest["format_version"], OLDEST_VERSION, FORMAT_VERSION)) {
        const std::string found = manifest.contains("format_version") ? shown(manifest["format_version"]) : "None";
        refuse(path, " has format version " + found + "; this library reads " + std::to_string(OLDEST_VERSION) +
                         " and " + std::to_string(FORMAT_VERSION) + ". If it is higher, take a newer library. If not, export the bundle again.");
    }
    for (const char *name : {"family", "precision"}) {
        if (!manifest.contains(name) || !manifest[name].is_string()) {
            refuse(path, std::string(": ") + name + " " + shown_member(manifest, name) + "; expected str.");
        }
    }
    for (const char *name : {"config", "graphs", "files"}) {
        if (!manifest.contains(name) || !manifest[name].is_object()) {
            refuse(path, std::string(": ") + name + " " + shown_member(manifest, name) + "; expected dict.");
        }
    }
    if (manifest.contains("provenance") && !manifest["provenance"].is_object()) {
        refuse(path, ": provenance is " + shown(manifest["provenance"]) + "; expected dict.");
    }
}

Family family_of(const std::string &path, const std::string &name) {
    if (name == "mygo") return Family::mygo;
    if (name == "adamf_mat") return Family::adamf_mat;
    if (name == "mimic") return Family::mimic;
    if (name == "mkgformer") {
        refuse(path, ": family " + name +
                         " is answered by graphs, which this library does not run. Open it with Python, or "
                         "pass a bundle of mygo, adamf_mat or mimic.");
    }
    refuse(path, ": unknown family " + in_quotes(name) + "; known: mygo, adamf_mat, mimic.");
}

// How many of the entities were trained; of a bundle that none were added to, all.
int64_t read_trained(const std::string &path, const Json &manifest, const Config &config) {
    const auto size = config.sizes.find("num_entities");
    const int64_t most = size == config.sizes.end() ? 0 : size->second;
    if (!manifest.contains("trained_entities")) return most;
    if (!is_whole(manifest["trained_entities"], 1, most)) {
        refuse(path, ": trained_entities is " + shown(manifest["trained_entities"]) + "; expected 1 to " +
                         std::to_string(most) + ". Fetch the bundle again.");
    }
    return manifest["trained_entities"].get<int64_t>();
}

// Names come from a closed list, so that none can lead out of the folder.
std::map<std::string, FileEntry> check_files(const std::string &path, const Json &listed, const Contents &contents) {
    const std::vector<std::string> names = contents.files();
    std::map<std::string, FileEntry> files;
    for (const auto &[name, entry] : listed.items()) {
        if (std::find(names.begin(), names.end(), name) == names.end()) {
            refuse(path, " lists a file " + in_quotes(name) + ", which is not part of the format.");
        }
        const bool fits = entry.is_object() && entry.contains("bytes") && is_whole(entry["bytes"]) &&
                          entry.contains("sha256") && entry["sha256"].is_string();
        if (!fits) refuse(path, ": the entry of " + name + " is " + shown(entry) + "; expected sha256 and bytes.");
        if (entry.contains("sha256_tree") && !entry["sha256_tree"].is_string()) {
            refuse(path, ": sha256_tree of " + name + " is " + shown(entry["sha256_tree"]) + "; expected a text.");
        }
        files[name] = {entry["bytes"].get<int64_t>(), entry["sha256"].get<std::string>(),
                       entry.value("sha256_tree", std::string())};
    }
    for (const std::string &name : names) {
        if (files.count(name) == 0 && !contents.may_lack(name))
            refuse(path, " does not list " + name + "; the export did not finish. Export again.");
    }
    return files;
}

void check_graphs(const std::string &path, const Json &graphs, const Contents &contents) {
    const std::set<std::string> expected(contents.graphs.begin(), contents.graphs.end());
    std::set<std::string> found;
    for (const auto &[name, spec] : graphs.items()) found.insert(name);
    if (found != expected) refuse(path, ": graphs do not match the .onnx files listed.");
    for (const auto &[name, spec] : graphs.items()) check_graph_spec(path + ": graph " + name, spec);
}

}  // namespace

Manifest read_manifest(const fs::path &folder, bool follow_links) {
    const std::string name = folder.string();
    if (name.find('\0') != std::string::npos)
        refuse(in_quotes(name), ": embedded null byte. Pass the folder that `mmkg-sdk export` wrote.");
    std::error_code error;
    const fs::file_status status = fs::status(folder, error);
    if (error) refuse(name, ": " + error.message() + ". Pass the folder that `mmkg-sdk export` wrote.");
    if (!fs::is_directory(status))
        refuse(name, " is a file; a bundle is a folder. Pass the folder that `mmkg-sdk export` wrote.");
    const fs::path path = folder / "bundle.json";
    const fs::file_status listed = fs::symlink_status(path, error);
    if (listed.type() == fs::file_type::not_found) {
        refuse(name, " has no bundle.json: this is no bundle, or its export did not finish. Export again.");
    }
    const std::string text = read_text(path, follow_links);
    Json manifest;
    try {
        manifest = plain_json(text);
    } catch (const NotStrict &wrong) {
        refuse(path.string(),
               " is not the JSON that an export writes (" + std::string(wrong.what()) + "). Fetch the bundle again.");
    }
    check_fields(path.string(), manifest);
    Manifest found;
    found.family = manifest["family"].get<std::string>();
    found.precision = manifest["precision"].get<std::string>();
    const Family family = family_of(path.string(), found.family);
    const std::set<std::string> precisions{"fp32", "fp16", "bf16", "int8", "fp8"};
    if (precisions.count(found.precision) == 0) {
        refuse(path.string(),
               ": unknown precision " + in_quotes(found.precision) + "; known: fp32, fp16, bf16, int8, fp8.");
    }
    try {
        found.config = read_config(family, manifest["config"]);
    } catch (const NotStrict &wrong) {
        refuse(path.string(), ": " + std::string(wrong.what()) + " Export the bundle again.");
    }
    found.trained_entities = read_trained(path.string(), manifest, found.config);
    found.contents = contents_of(found.config);
    found.files = check_files(path.string(), manifest["files"], found.contents);
    check_graphs(path.string(), manifest["graphs"], found.contents);
    for (const auto &[graph, spec] : manifest["graphs"].items()) {
        found.signatures[graph] = Json{{"inputs", spec["inputs"]}, {"outputs", spec["outputs"]}}.dump();
    }
    check_seal(path.string(), manifest);
    if (!found.config.links()) found.largest = largest_sizes(manifest["graphs"]["entity_encoder"]);
    return found;
}

}  // namespace mmkg::internal
