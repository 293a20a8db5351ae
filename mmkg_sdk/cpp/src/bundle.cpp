#include "mmkg/bundle.hpp"

#include <algorithm>
#include <cstring>

#include "guarded.hpp"
#include "onnx_file.hpp"
#include "opened.hpp"
#include "triples.hpp"

namespace mmkg {
namespace {

namespace fs = std::filesystem;
using namespace internal;

Keep kept(const std::string &name) {
    const fs::path file(name);
    if (file.extension() == ".safetensors") {
        return name == "probes.safetensors" || name == TOKENIZERS ? Keep::nothing : Keep::map;
    }
    return file.extension() == ".txt" || file.extension() == ".onnx" ? Keep::copy : Keep::nothing;
}

// The labels of a file, which is forgotten: they have a copy of it.
Labels labels_of(const fs::path &folder, std::map<std::string, Content> &files, const std::string &name,
                 const char *kind, const Contents &contents) {
    const std::string path = (folder / (name + ".txt")).string();
    const Content content = std::move(files.extract(name + ".txt").mapped());
    Labels labels(std::string(content.view()), path, kind);
    if (const int64_t count = contents.labels.at(name); count != ANY_COUNT && labels.size() != count) {
        throw Error(Fault::bundle, path + " has " + std::to_string(labels.size()) +
                                       " labels, but the configuration in bundle.json says " + std::to_string(count) +
                                       ". Export again.");
    }
    return labels;
}

// What shapes and dtypes do not tell of MyGO: masks as wide as their tokens, tokens within the codebooks.
void check_tokens(const std::string &folder, const Opened &opened) {
    for (const std::string &modality : opened.config().modalities) {
        if (opened.manifest.largest.count(modality + "_tokens") == 0) {
            throw Error(Fault::bundle,
                        folder + ": graph entity_encoder has no axis " + modality + "_tokens. Export again.");
        }
        const Tensor &tokens = opened.inputs.at(modality + "_tokens"), &mask = opened.inputs.at(modality + "_mask");
        const std::string place = folder + "/inputs.safetensors: " + modality;
        if (mask.shape != tokens.shape) {
            throw Error(Fault::bundle,
                        place + "_mask is " + mask.described() + ", as wide as its tokens it should be. Export again.");
        }
        const int64_t rows = opened.config().sizes.at(modality + "_codebook_rows");
        const Array<int64_t> ids(tokens);
        if (std::any_of(ids.begin(), ids.end(), [&](int64_t id) { return id < 0 || id >= rows; })) {
            throw Error(Fault::bundle, place + "_tokens holds a row that the codebook does not have. Export again.");
        }
    }
}

// As many pieces as labels.
void check_pieces(const std::string &path, const Opened &opened) {
    for (const auto &[name, piece] : opened.table) {
        if (piece.shape[0] == opened.entities.size()) continue;
        throw Error(Fault::bundle, path + ": " + name + " has " + std::to_string(piece.shape[0]) +
                                       " rows, but entities.txt has " + std::to_string(opened.entities.size()) +
                                       " labels. Export again.");
    }
}

void check_graphs(const fs::path &folder, const Opened &opened) {
    for (const auto &[name, signature] : opened.manifest.signatures) {
        const std::string path = (folder / (name + ".onnx")).string();
        const std::string_view model = opened.files.at(name + ".onnx").view();
        weight_files(path, model, opened.files);
        check_signature(path, model, signature);
    }
}

// Whether the weights are those of the configuration; no number is read.
void check_weights(const std::string &path, const Opened &opened) {
    const std::string &precision = opened.manifest.precision;
    const Dtype multiplied = precision == "fp16"   ? Dtype::float16
                             : precision == "bf16" ? Dtype::bfloat16
                                                   : Dtype::float32;
    for (const auto &[name, shape] : opened.manifest.contents.weights) {
        const auto found = opened.weights.find(name);
        if (found == opened.weights.end() || found->second.shape != shape) {
            const std::string expected = Tensor{Dtype::float32, shape, nullptr}.described().substr(8);
            throw Error(Fault::bundle,
                        path + ": " + name + " is " +
                            (found == opened.weights.end()
                                 ? "missing"
                                 : found->second.described().substr(std::strlen(name_of(found->second.dtype)) + 1)) +
                            "; by the configuration " + expected + ". Export the bundle again.");
        }
        if (name.find("multiplied_") != std::string::npos && found->second.dtype != multiplied) {
            throw Error(Fault::bundle, path + ": " + name + " is " + name_of(found->second.dtype) + " in a bundle in " +
                                           precision + ". Export the bundle again.");
        }
    }
}

// While the first number is 0, the second one may change the headers.
void check_headers(Headers found) {
    constexpr Headers own;
    if (found.major == own.major && found.minor == own.minor) return;
    const auto text = [](Headers headers) {
        return std::to_string(headers.major) + "." + std::to_string(headers.minor);
    };
    throw Error(Fault::backend, "the program was compiled with the headers of mmkg " + text(found) +
                                    ", and libmmkg_model is " + text(own) +
                                    ". Compile it anew, or install the library of its version.");
}

std::shared_ptr<const Opened> opened_bundle(const fs::path &folder, bool follow_links) {
    Opened opened;
    opened.manifest = read_manifest(folder, follow_links);
    Manifest &manifest = opened.manifest;
    for (const auto &[name, entry] : manifest.files) {
        opened.files[name] = read_verified(folder / name, entry, kept(name), follow_links);
    }
    opened.entities = labels_of(folder, opened.files, "entities", "entity", manifest.contents);
    const auto path_of = [&](const std::string &name) { return (folder / (name + ".safetensors")).string(); };
    const auto tensors = [&](const std::string &name) {
        Tensors found = read_tensors(path_of(name), opened.files[name + ".safetensors"].view());
        check_tensors(path_of(name), found, manifest.contents.tensors[name]);
        return found;
    };
    opened.table = tensors("table");
    if (manifest.config.links()) {
        check_pieces(path_of("table"), opened);
    } else {
        opened.relations = labels_of(folder, opened.files, "relations", "relation", manifest.contents);
        opened.inputs = tensors("inputs");
        opened.triples = tensors("triples");
        check_triples(path_of("triples"), opened.triples, manifest.config);
        if (manifest.files.count(std::string(KNOWN_TRIPLES) + ".safetensors") != 0) {
            opened.known_triples = tensors(KNOWN_TRIPLES);
            check_index(path_of(KNOWN_TRIPLES), opened.known_triples, manifest.config);
        }
    }
    if (manifest.config.family == Family::mygo) check_tokens(folder.string(), opened);
    opened.weights = read_tensors(path_of("weights"), opened.files["weights.safetensors"].view());
    check_weights(path_of("weights"), opened);
    check_graphs(folder, opened);
    return std::make_shared<const Opened>(std::move(opened));
}

}  // namespace

Bundle::Bundle(const fs::path &folder, bool follow_links, Headers headers) {
    guarded([&] {
        check_headers(headers);
        opened_ = opened_bundle(folder, follow_links);
    });
}

const std::string &Bundle::family() const noexcept { return opened_->manifest.family; }

const std::string &Bundle::precision() const noexcept { return opened_->manifest.precision; }

Labels Bundle::entities() const noexcept { return opened_->entities; }

Labels Bundle::relations() const noexcept { return opened_->relations; }

}  // namespace mmkg
