#include "interaction.hpp"

#include <algorithm>
#include <cmath>

#include "text.hpp"
#include "weights.hpp"

namespace mmkg::internal {
namespace {

// The fields of mmkg_entity_pieces, in their order.
constexpr const char *ENTITY_PIECES[] = {"entity_queries",    "entity_cls",      "entity_text",
                                         "entity_dual_query", "entity_dual_key", "entity_fused"};

// What one DUAL is made of: the graph has its vectors as columns of two matrices, each for one of three parts.
struct Dual {
    Dual(Weights &weights, const std::string &side, int64_t width) {
        const float *of_key = weights.float32(side + ".of_key", {3 * width, 3});
        const float *of_query = weights.float32(side + ".of_query", {3 * width, 4});
        for (int64_t i = 0; i < width; ++i) {
            to_gate.push_back(of_key[i * 3]);
            context.push_back(of_key[(width + i) * 3 + 1]);
            shift.push_back(of_query[(2 * width + i) * 4 + 3]);
        }
        described = {to_gate.data(),
                     context.data(),
                     weights.float32(side + ".scale", {width}),
                     shift.data(),
                     *weights.float32(side + ".gate_offset", {}),
                     *weights.float32(side + ".context_square", {})};
    }

    std::vector<float> to_gate, context, shift;
    mmkg_dual_weights described{};
};

// A piece of mentions: its name, numbers, and how many numbers a mention has of it.
struct Piece {
    const char *name;
    const std::vector<float> &numbers;
    int64_t width;
};

std::array<Piece, 6> pieces_of(const MentionPieces &mentions, const mmkg_interaction_weights &sizes) {
    const int64_t text = sizes.length * sizes.text_unit_width, dual = 3 * sizes.image_unit_width;
    return {{{"keys", mentions.keys, text},
             {"values", mentions.values, text},
             {"text", mentions.text, sizes.text_width},
             {"dual_key", mentions.dual_key, dual},
             {"dual_query", mentions.dual_query, dual},
             {"fused", mentions.fused, sizes.cross_modal_unit_width}}};
}

}  // namespace

Interaction::Interaction(const Opened &opened, mmkg_pool *pool) : rows_(opened.entities.size()) {
    const Config &config = opened.config();
    sizes_.length = config.size("text_length");
    sizes_.text_unit_width = config.size("text_unit_dim"), sizes_.text_width = config.size("text_width");
    sizes_.image_unit_width = config.size("image_unit_dim");
    sizes_.cross_modal_unit_width = config.size("cross_modal_unit_dim");
    sizes_.norm_epsilon = NORM_EPSILON;
    std::array<const void *, 6> places{};
    for (size_t i = 0; i < places.size(); ++i) {
        const Tensor &piece = opened.table.at(ENTITY_PIECES[i]);
        if (piece.dtype == Dtype::float32) {
            float_pieces_[i] = Array<float>(piece), places[i] = float_pieces_[i].begin();
        } else {
            half_pieces_[i] = Array<uint16_t>(piece), places[i] = half_pieces_[i].begin();
        }
    }
    entities_ = {places[0], places[1], places[2], places[3], places[4], places[5]};
    open(opened, pool);
}

void Interaction::open(const Opened &opened, mmkg_pool *pool) {
    Weights weights(opened.weights, INTERACTION);
    std::set<std::string> names{"context_norm.weight", "context_norm.bias"};
    for (const std::string side : {"by_entity", "by_mention"}) {
        for (const char *name : {".scale", ".gate_offset", ".context_square", ".of_key", ".of_query"})
            names.insert(side + name);
    }
    weights.expect(names);
    const Dual by_entity(weights, "by_entity", sizes_.image_unit_width);
    const Dual by_mention(weights, "by_mention", sizes_.image_unit_width);
    mmkg_interaction_weights described = sizes_;
    described.context_weight = weights.float32("context_norm.weight", {sizes_.text_unit_width});
    described.context_bias = weights.float32("context_norm.bias", {sizes_.text_unit_width});
    described.by_entity = by_entity.described, described.by_mention = by_mention.described;
    const bool half = opened.table.at(ENTITY_PIECES[0]).dtype == Dtype::float16;
    mmkg_interaction *handle = nullptr;
    // Logits in int16 change scores by less than half precision of the entities did.
    check(mmkg_interaction_open(&described, half ? MMKG_ENTITY_FLOAT16 : MMKG_ENTITY_FLOAT32,
                                half ? MMKG_LOGITS_INT16 : MMKG_LOGITS_FLOAT32, MMKG_BEST, pool, &handle),
          INTERACTION);
    handle_.reset(handle);
}

int64_t Interaction::count(const MentionPieces &mentions) const {
    const auto count = static_cast<int64_t>(mentions.text.size()) / sizes_.text_width;
    for (const Piece &piece : pieces_of(mentions, sizes_)) {
        if (static_cast<int64_t>(piece.numbers.size()) != count * piece.width) {
            throw Error(Fault::query, std::string(piece.name) + " has " +
                                          grouped(static_cast<int64_t>(piece.numbers.size())) + " numbers; expected " +
                                          grouped(piece.width) + " for each of " + grouped(count) +
                                          " mentions (as many as text has).");
        }
        const auto wrong = std::find_if(piece.numbers.begin(), piece.numbers.end(),
                                        [](float number) { return !std::isfinite(number); });
        if (wrong != piece.numbers.end()) {
            throw Error(Fault::query, std::string(piece.name) + " of mention " +
                                          std::to_string((wrong - piece.numbers.begin()) / piece.width) +
                                          " holds NaN or infinity; expected finite numbers.");
        }
    }
    return count;
}

std::array<std::vector<float>, 3> Interaction::scores(const MentionPieces &mentions, int64_t start, int64_t count,
                                                      const std::vector<int64_t> *candidates) const {
    const int64_t width = candidates == nullptr ? rows_ : static_cast<int64_t>(candidates->size());
    std::array<std::vector<float>, 3> units;
    for (std::vector<float> &unit : units) unit.resize(static_cast<size_t>(count * width));
    if (count == 0 || width == 0) return units;
    std::array<const float *, 6> places{};
    const std::array<Piece, 6> pieces = pieces_of(mentions, sizes_);
    for (size_t i = 0; i < pieces.size(); ++i) places[i] = pieces[i].numbers.data() + start * pieces[i].width;
    const mmkg_mention_pieces asked{places[0], places[1], places[2], places[3], places[4], places[5]};
    check(mmkg_interaction_scores(handle_.get(), &asked, count, &entities_, rows_,
                                  candidates == nullptr ? nullptr : candidates->data(), width, units[0].data(),
                                  units[1].data(), units[2].data()),
          INTERACTION);
    return units;
}

}  // namespace mmkg::internal
