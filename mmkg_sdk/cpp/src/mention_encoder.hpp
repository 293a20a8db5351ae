// MIMIC's mentions from token ids and pixels, by its graphs.
#pragma once

#include <mutex>

#include "graphs.hpp"
#include "mmkg/linker.hpp"
#include "opened.hpp"

namespace mmkg::internal {

// Safe to call from several threads.
class MentionEncoder {
public:
    // opened, graphs: must stay.
    MentionEncoder(const Opened &opened, const Graphs &graphs);

    // See Linker::encode_tokens.
    MentionPieces encode(const MentionTokens &mentions) const;

private:
    // How many there are. Throws Error (query).
    int64_t count(const MentionTokens &mentions) const;
    GraphOutputs text(const MentionTokens &mentions, int64_t start, int64_t size) const;
    GraphOutputs image(const MentionTokens &mentions, int64_t start, int64_t size) const;
    GraphOutputs run_image(const std::vector<float> &pixels) const;
    // What stands for an image where there is none: what the graph gives for zeros.
    const GraphOutputs &no_image() const;

    const Graphs &graphs_;
    const Config &config_;
    const int64_t pixels_;  // numbers of an image
    mutable std::once_flag no_image_made_;
    mutable GraphOutputs no_image_;
};

}  // namespace mmkg::internal
