// bundle.hpp: the verified, read-only folder that is deployed.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "mmkg/error.hpp"
#include "mmkg/labels.hpp"
#include "mmkg/version.hpp"

namespace mmkg {

namespace internal {
struct Opened;
}

// An opened bundle of MyGO, AdaMF-MAT or MIMIC. Everything that docs/bundle-format.md says is checked before the
// constructor returns: seal, names, kinds, sizes and SHA-256 of files, tensors, finite values, labels, triples and
// tokens in range, sizes and precision of the configuration against the weights, and the graphs against their
// signatures in bundle.json and the files that they may read. MIMIC's tokenizer.json is held to its digest alone: this
// library reads no text.
//
// Nothing is read from the folder afterwards. Tensors are memory maps of what was verified: the folder may be replaced
// or deleted, but to write into its files changes what an open bundle reads, and to shorten them ends the process.
class MMKG_MODEL_API Bundle {
public:
    // folder         what `mmkg-sdk export` wrote
    // follow_links   files may be links to any place. Without it, links may lead to the same folder, and to the blobs
    // of
    //                a Hugging Face cache that the folder is a snapshot of.
    //
    // headers        leave it out: it tells the library which headers the program was compiled with
    //
    // Throws Error (bundle), which names the file; (memory); (backend): the library has another version than the
    // headers.
    explicit Bundle(const std::filesystem::path &folder, bool follow_links = false, Headers headers = {});

    const std::string &family() const noexcept;     // "mygo", "adamf_mat" or "mimic"
    const std::string &precision() const noexcept;  // "fp32", "fp16", "bf16", "int8" or "fp8"
    Labels entities() const noexcept;
    Labels relations() const noexcept;  // none of MIMIC

    const internal::Opened &opened() const noexcept { return *opened_; }

private:
    std::shared_ptr<const internal::Opened> opened_;
};

}  // namespace mmkg
