// linker.hpp: mentions in, ranked entities out. A mention comes as what MIMIC's graphs make of its text and image; they
// run here on ONNX Runtime, where this library was built with it, or elsewhere.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mmkg/bundle.hpp"
#include "mmkg/error.hpp"
#include "mmkg/labels.hpp"
#include "mmkg/options.hpp"
#include "mmkg/query.hpp"

namespace mmkg {

// Texts and images of some mentions, one behind the other, read as the bundle's model reads them.
struct MentionTokens {
    std::vector<int64_t> input_ids;       // [mentions, text_length], of the tokenizer
    std::vector<int64_t> attention_mask;  // the same shape: 1 for a token, 0 for padding; one token at least
    std::vector<float> pixels;            // [mentions, 3, image_size, image_size], normalised; all zero: no image
};

// The outputs of the bundle's graph `mention_side` for some mentions, by their names without "mention_"; float32, one
// mention behind the other. Sizes are those of the configuration in bundle.json.
struct MentionPieces {
    std::vector<float> keys, values;          // [mentions, text_length, text_unit_dim]
    std::vector<float> text;                  // [mentions, text_width]
    std::vector<float> dual_key, dual_query;  // [mentions, 3, image_unit_dim]
    std::vector<float> fused;                 // [mentions, cross_modal_unit_dim]
};

// An entity that a mention may mean. Scores: higher is better; they are comparable within one mention only.
struct Link {
    int64_t id = 0;
    std::string label;
    float score = 0;                            // the mean of the three units
    float text = 0, image = 0, image_text = 0;  // what each unit gives
};

// A bundle of MIMIC that links mentions, with the same bits as mmkg_sdk.Linker with its kernels. Safe to call from
// several threads; of calls that meet, one has the threads, the others run on their own.
//
// All functions throw Error: (query) for what a caller may not pass, (backend) where a number is too large for float32,
// (memory).
class MMKG_MODEL_API Linker {
public:
    // Opens and verifies a bundle and makes its kernels ready.
    //
    // Throws Error (bundle), also of another family; (backend).
    explicit Linker(const std::filesystem::path &bundle, const Options &options = {})
        : Linker(Bundle(bundle, options.follow_links), options) {}
    explicit Linker(const Bundle &bundle, const Options &options = {});
    ~Linker();
    Linker(Linker &&) noexcept;
    Linker &operator=(Linker &&) noexcept;

    // What `link` takes, of texts and images, by the bundle's graphs on ONNX Runtime (docs/cpp.md).
    //
    // Throws Error (query): another size, an id that the model does not have, a mention without a token, NaN;
    // (backend): there is no ONNX Runtime.
    MentionPieces encode_tokens(const MentionTokens &mentions) const;

    // The k best entities of each mention, best first; equal scores by ascending id.
    //
    //   k            1 to 3,840; cut to the number of candidates
    //   candidates   rank only these; unset: all
    //
    // Throws Error (query): also for a piece that is misshapen, or holds NaN or infinity.
    std::vector<std::vector<Link>> link(const MentionPieces &mentions, int k = 10,
                                        const std::optional<Candidates> &candidates = std::nullopt) const;

    // Entities to rank alone, prepared once for any number of calls; repeated ones count once.
    Candidates candidates(const std::vector<std::string> &labels) const;
    Candidates candidates(std::vector<int64_t> ids) const;

    Labels entities() const;
    int threads() const noexcept;  // of a call
    const Bundle &bundle() const noexcept;

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace mmkg
