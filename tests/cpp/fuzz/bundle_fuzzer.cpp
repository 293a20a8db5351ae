// libFuzzer's target: opens and asks a bundle of which one file is what the fuzzer made.
//
//   MMKG_FUZZ_BUNDLES=FOLDER bundle_fuzzer CORPUS ...     FOLDER: copies of bundles, which are written into
//
// An input is three bytes and the content of a file: which bundle, which file of it, and whether sizes, digests and seal
// are made to fit again (odd) or stay as they were. What opens is asked. All that may come of it is an answer or an
// mmkg::Error; the sanitizers see the rest. corpus.py writes FOLDER and CORPUS.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "config.hpp"
#include "json.hpp"
#include "mmkg/linker.hpp"
#include "mmkg/model.hpp"
#include "opened.hpp"
#include "sha256.hpp"

namespace {

using namespace mmkg::internal;
namespace fs = std::filesystem;

constexpr const char *MANIFEST = "bundle.json";

std::string read(const fs::path &path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

void write(const fs::path &path, std::string_view content) {
    std::ofstream(path, std::ios::binary | std::ios::trunc).write(content.data(), static_cast<std::streamsize>(content.size()));
}

// One good bundle, and what is in it.
struct Base {
    fs::path folder;
    std::vector<std::string> names;     // of its files, in order
    std::vector<std::string> contents;  // of each
    Json manifest;

    explicit Base(const fs::path &from) : folder(from) {
        for (const fs::directory_entry &entry : fs::directory_iterator(from)) names.push_back(entry.path().filename());
        std::sort(names.begin(), names.end());
        for (const std::string &name : names) contents.push_back(read(from / name));
        manifest = Json::parse(read(from / MANIFEST));
    }
};

std::vector<Base> bases;

std::string sealed(Json manifest) {
    manifest.erase("seal");
    manifest["seal"] = sha256_hex(canonical_json(manifest));
    return manifest.dump();
}

// bundle.json for a bundle of which one file has another content.
std::string manifest_of(const Base &base, const std::string &name, const std::string &content) {
    if (name == MANIFEST) {
        try {
            const Json changed = strict_json(content);
            return changed.is_object() ? sealed(changed) : content;
        } catch (const std::exception &) {
            return content;
        }
    }
    Json manifest = base.manifest;
    if (manifest["files"].contains(name)) {
        manifest["files"][name] = {{"sha256", sha256_hex(content)}, {"bytes", content.size()}};
    }
    return sealed(manifest);
}

void predict(const mmkg::Bundle &bundle) {
    mmkg::Model model(bundle, {1});
    const int64_t entities = model.entities().size(), relations = model.relations().size();
    std::vector<mmkg::Query> queries;
    for (int64_t i = 0; i < std::min<int64_t>(entities, 4); ++i) {
        queries.push_back({entities - 1 - i, i % relations, i % 2 ? mmkg::Missing::head : mmkg::Missing::tail});
    }
    model.predict(queries, {3});
    model.predict(queries, {entities < 3840 ? static_cast<int>(entities) : 3840, false});
    if (entities && relations) model.score_triples({{0, relations - 1, entities - 1}});
    if (bundle.family() != "mygo") return;
    model.add_entities({"\t"}, {mmkg::EntityTokens{{0}, {0, 1}, {}}});  // no label of a test
    model.predict({{entities, 0, mmkg::Missing::tail}}, {3});
}

void link(const mmkg::Bundle &bundle) {
    const mmkg::Linker linker(bundle, {1});
    const Config &config = bundle.opened().config();
    const auto halves = [&](std::initializer_list<const char *> sizes, int64_t first) {
        for (const char *size : sizes) first *= config.size(size);
        return std::vector<float>(static_cast<size_t>(first), 0.5F);
    };
    mmkg::MentionPieces pieces;
    pieces.keys = pieces.values = halves({"text_length", "text_unit_dim"}, 2);
    pieces.text = halves({"text_width"}, 2), pieces.fused = halves({"cross_modal_unit_dim"}, 2);
    pieces.dual_key = pieces.dual_query = halves({"image_unit_dim"}, 6);
    linker.link(pieces, 3);
    linker.link(pieces, 2, linker.candidates(std::vector<int64_t>{0}));
}

void ask(const fs::path &folder) {
    const mmkg::Bundle bundle(folder);
    bundle.family() == "mimic" ? link(bundle) : predict(bundle);
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int *, char ***) {
    const char *folder = std::getenv("MMKG_FUZZ_BUNDLES");
    std::vector<fs::path> found;
    if (folder) {
        for (const fs::directory_entry &entry : fs::directory_iterator(folder)) found.push_back(entry.path());
    }
    std::sort(found.begin(), found.end());
    for (const fs::path &path : found) {
        bases.emplace_back(path);
        ask(path);  // a good bundle opens
    }
    if (bases.empty()) {
        std::cerr << "MMKG_FUZZ_BUNDLES names no folder of bundles; corpus.py makes one.\n";
        std::exit(EXIT_FAILURE);
    }
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 3) return -1;
    const Base &base = bases[data[0] % bases.size()];
    const size_t file = data[1] % base.names.size();
    const bool fits = data[2] & 1;
    const std::string &name = base.names[file];
    const std::string content(reinterpret_cast<const char *>(data) + 3, size - 3);
    write(base.folder / name, content);
    if (fits) write(base.folder / MANIFEST, manifest_of(base, name, content));
    try {
        ask(base.folder);
    } catch (const mmkg::Error &) {
    }
    write(base.folder / name, base.contents[file]);
    if (fits) write(base.folder / MANIFEST, base.manifest.dump());
    return 0;
}
