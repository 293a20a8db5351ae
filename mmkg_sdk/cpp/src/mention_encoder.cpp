#include "mention_encoder.hpp"

#include <algorithm>
#include <cmath>

#include "text.hpp"

namespace mmkg::internal {
namespace {

constexpr int64_t ENCODED = 64;  // mentions of one run of the graphs; as Python's, for its bits depend on it

[[noreturn]] void refuse(const std::string &what) { throw Error(Fault::query, what); }

void check_integers(const char *name, const std::vector<int64_t> &given, size_t count, int64_t limit) {
    if (given.size() != count) {
        refuse(std::string(name) + " has " + grouped(static_cast<int64_t>(given.size())) + " numbers; expected " +
               grouped(static_cast<int64_t>(count)) + ".");
    }
    const auto wrong = std::find_if(given.begin(), given.end(), [&](int64_t id) { return id < 0 || id >= limit; });
    if (wrong != given.end()) {
        refuse(std::string(name) + " holds " + std::to_string(*wrong) + "; expected 0 to " + grouped(limit - 1) + ".");
    }
}

void append(std::vector<float> &to, const GraphOutputs &from, const char *name) {
    const std::vector<float> &numbers = from.at(std::string("mention_") + name).numbers;
    to.insert(to.end(), numbers.begin(), numbers.end());
}

}  // namespace

MentionEncoder::MentionEncoder(const Opened &opened, const Graphs &graphs)
    : graphs_(graphs),
      config_(opened.config()),
      pixels_(3 * config_.size("image_size") * config_.size("image_size")) {}

int64_t MentionEncoder::count(const MentionTokens &mentions) const {
    const auto length = static_cast<size_t>(config_.size("text_length")), pixels = static_cast<size_t>(pixels_);
    if (mentions.input_ids.size() % length != 0) {
        refuse("input_ids has " + grouped(static_cast<int64_t>(mentions.input_ids.size())) + " numbers; expected " +
               std::to_string(length) + " for each mention.");
    }
    const size_t count = mentions.input_ids.size() / length;
    check_integers("input_ids", mentions.input_ids, count * length, config_.size("vocabulary_size"));
    check_integers("attention_mask", mentions.attention_mask, count * length, 2);
    for (size_t i = 0; i < count; ++i) {
        const auto row = mentions.attention_mask.begin() + static_cast<std::ptrdiff_t>(i * length);
        if (std::find(row, row + static_cast<std::ptrdiff_t>(length), 1) == row + static_cast<std::ptrdiff_t>(length)) {
            refuse("row " + std::to_string(i) + " of attention_mask has no token; expected one at least.");
        }
    }
    if (mentions.pixels.size() != count * pixels) {
        refuse("pixels has " + grouped(static_cast<int64_t>(mentions.pixels.size())) + " numbers; expected " +
               grouped(pixels_) + " for each of " + std::to_string(count) + " mentions.");
    }
    if (!std::all_of(mentions.pixels.begin(), mentions.pixels.end(), [](float x) { return std::isfinite(x); })) {
        refuse("pixels holds NaN or infinity.");
    }
    return static_cast<int64_t>(count);
}

GraphOutputs MentionEncoder::text(const MentionTokens &mentions, int64_t start, int64_t size) const {
    const int64_t length = config_.size("text_length"), width = config_.size("text_width");
    const auto rows = [&](const std::vector<int64_t> &all) {
        return graph_input(Dtype::int64, {size, length}, all.data() + start * length);
    };
    return graphs_.run("text_encoder",
                       {{"input_ids", rows(mentions.input_ids)}, {"attention_mask", rows(mentions.attention_mask)}},
                       {{"text_embeds", {size, width}}, {"text_tokens", {size, length, width}}});
}

GraphOutputs MentionEncoder::run_image(const std::vector<float> &pixels) const {
    const int64_t size = config_.size("image_size"), patches = size / config_.size("patch_size");
    const int64_t width = config_.size("image_feature_dim"), count = static_cast<int64_t>(pixels.size()) / pixels_;
    return graphs_.run("image_encoder",
                       {{"pixel_values", graph_input(Dtype::float32, {count, 3, size, size}, pixels.data())}},
                       {{"image_embeds", {count, width}}, {"image_tokens", {count, patches * patches + 1, width}}});
}

const GraphOutputs &MentionEncoder::no_image() const {
    std::call_once(no_image_made_,
                   [&] { no_image_ = run_image(std::vector<float>(static_cast<size_t>(pixels_), 0.0F)); });
    return no_image_;
}

GraphOutputs MentionEncoder::image(const MentionTokens &mentions, int64_t start, int64_t size) const {
    const float *first = mentions.pixels.data() + start * pixels_;
    std::vector<float> shown;
    std::vector<int64_t> places;  // of the images among those shown; -1: none
    for (int64_t i = 0; i < size; ++i) {
        const float *image = first + i * pixels_;
        const bool some = std::any_of(image, image + pixels_, [](float number) { return number != 0; });
        places.push_back(some ? static_cast<int64_t>(shown.size()) / pixels_ : -1);
        if (some) shown.insert(shown.end(), image, image + pixels_);
    }
    const GraphOutputs encoded = shown.empty() ? no_image() : run_image(shown);
    if (static_cast<int64_t>(shown.size()) == size * pixels_) return encoded;
    GraphOutputs all;
    for (const auto &[name, output] : encoded) {
        GraphOutput &joined = all[name];
        joined.shape = output.shape, joined.shape[0] = size;
        const GraphOutput &none = no_image().at(name);
        const auto width = static_cast<int64_t>(none.numbers.size());
        for (const int64_t place : places) {
            const float *row = place < 0 ? none.numbers.data() : output.numbers.data() + place * width;
            joined.numbers.insert(joined.numbers.end(), row, row + width);
        }
    }
    return all;
}

MentionPieces MentionEncoder::encode(const MentionTokens &mentions) const {
    const int64_t all = count(mentions), length = config_.size("text_length"), unit = config_.size("text_unit_dim");
    const int64_t dual = config_.size("image_unit_dim");
    MentionPieces pieces;
    for (int64_t start = 0; start < all; start += ENCODED) {
        const int64_t size = std::min(ENCODED, all - start);
        GraphOutputs sides = text(mentions, start, size);
        sides.merge(image(mentions, start, size));
        Tensors inputs;
        for (const auto &[name, side] : sides)
            inputs[name] = graph_input(Dtype::float32, side.shape, side.numbers.data());
        const GraphOutputs found = graphs_.run("mention_side", inputs,
                                               {{"mention_keys", {size, length, unit}},
                                                {"mention_values", {size, length, unit}},
                                                {"mention_text", {size, config_.size("text_width")}},
                                                {"mention_dual_key", {size, 3, dual}},
                                                {"mention_dual_query", {size, 3, dual}},
                                                {"mention_fused", {size, config_.size("cross_modal_unit_dim")}}});
        append(pieces.keys, found, "keys"), append(pieces.values, found, "values");
        append(pieces.text, found, "text"), append(pieces.fused, found, "fused");
        append(pieces.dual_key, found, "dual_key"), append(pieces.dual_query, found, "dual_query");
    }
    return pieces;
}

}  // namespace mmkg::internal
