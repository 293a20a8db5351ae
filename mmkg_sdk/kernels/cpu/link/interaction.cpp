#include "link/interaction.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <memory>

#include "common/choose_set.h"
#include "common/float_mode.h"
#include "common/status.h"
#include "table/scan.h"

namespace mmkg {

struct LinkScratch {
    int64_t size;  // entities of a block
    Aligned<int16_t> rounded;
    Aligned<float> rows, panel, unit, mean, pair_unit, base;  // of a group
    Aligned<float> logits, factors;                            // of a pair
    Aligned<float> attention;                                 // [mentions, size, key columns]
    Aligned<float> text, fused, cls, cls_shift;               // [size, ...]
    DualSide key, query;
    Aligned<float> context, squares, inner, global, grams, scores;
    ptrdiff_t context_stride, base_stride;
};

namespace {

const InteractionSet *interaction_set(int32_t id) {
    switch (id) {
    case MMKG_AVX2:
    case MMKG_AVX2_VNNI:
    case MMKG_AVX512:
        return avx2_interaction_set();
    case MMKG_AVX512_VNNI:
    case MMKG_AVX512_BF16:
        return avx512_interaction_set();
    case MMKG_NEON:
    case MMKG_NEON_DOT:
    case MMKG_NEON_BF16:
    case MMKG_NEON_I8MM:
        return neon_interaction_set();
    default:
        return &portable_interaction_set();
    }
}

bool all_finite(const float *values, int64_t count) {
    float sum = 0;  // of zeros and NaN
    for (int64_t i = 0; i < count; ++i) sum += values[i] - values[i];
    return sum == 0;
}

}  // namespace

}  // namespace mmkg

using mmkg::kEight;
using mmkg::LinkScratch;
using mmkg::rounded_up;
using mmkg::zeros;

void mmkg_interaction::score(const mmkg_mention_pieces &pieces, int64_t count, const Call &call) const {
    mmkg::Pool::Lease lease(pool_);
    // Two blocks a thread or more, where there are so many eights of candidates.
    const int64_t share = rounded_up((call.count + 2 * lease.threads() - 1) / (2 * lease.threads()), kEight);
    const int64_t block = std::min(share, mmkg::kEntityBlock), blocks = (call.count + block - 1) / block;
    for (int64_t first = 0; first < count; first += mmkg::kMentionGroup) {
        const mmkg::Mentions mentions = read_mentions(pieces, first, std::min(mmkg::kMentionGroup, count - first));
        const int64_t before = first * call.count;
        const Call part{call.entities,       call.candidates,     call.count, call.text + before,
                        call.image + before, call.image_text + before};
        std::atomic<int64_t> next{0};
        std::atomic<bool> finite{true};
        lease.run(static_cast<int>(std::min<int64_t>(blocks, lease.threads())), [&](int) {
            const mmkg::FloatMode mode;
            const auto scratch = make_scratch(block, mentions.count);
            for (int64_t i; finite && (i = next++) < blocks;) {
                const int64_t begin = i * block;
                if (!score_block(part, mentions, begin, std::min(block, call.count - begin), *scratch)) finite = false;
            }
        });
        if (!finite) throw mmkg::NotANumber();
    }
}

std::unique_ptr<LinkScratch> mmkg_interaction::make_scratch(int64_t block, int64_t mentions) const {
    auto s = std::make_unique<LinkScratch>();
    s->rows = zeros(lanes_ * query_stride_);
    s->rounded = mmkg::Aligned<int16_t>(lanes_ * query_stride_);
    std::memset(s->rounded.data(), 0, static_cast<size_t>(s->rounded.size()) * sizeof(int16_t));
    s->panel = zeros(lanes_ * query_stride_);
    s->unit = zeros(lanes_);
    s->pair_unit = zeros(lanes_);
    s->mean = zeros(group_ * query_stride_);
    s->base_stride = rounded_up(mentions * key_columns_, mmkg::kColumnGroup);
    s->base = zeros(group_ * s->base_stride);
    s->logits = zeros(padded_keys_ * lanes_);
    s->factors = zeros(lanes_);
    s->attention = zeros(mentions * block * key_columns_);
    s->text = zeros(block * text_padded_);
    s->fused = zeros(block * fused_padded_);
    s->cls = zeros(block * value_columns_);
    s->cls_shift = zeros(block);
    for (mmkg::DualSide *side : {&s->key, &s->query}) {
        side->stride = block;
        side->vectors = zeros(block * 3 * image_padded_);
        side->numbers = zeros(mmkg::kSideNumbers * block);
    }
    s->context_stride = value_columns_ + mmkg::kHeadGroup;
    s->context = zeros(block * s->context_stride);
    for (auto *numbers : {&s->squares, &s->inner, &s->global, &s->scores}) *numbers = zeros(block);
    s->grams = zeros(mmkg::kGrams * block);
    s->size = block;
    return s;
}

bool mmkg_interaction::score_block(const Call &call, const mmkg::Mentions &mentions, int64_t begin, int64_t count,
                                   LinkScratch &s) const {
    read_block(call, begin, count, s);
    attend_block(call, mentions, begin, count, s);
    const int64_t eights = rounded_up(count, kEight);
    const float width = static_cast<float>(width_);
    bool finite = true;
    for (int64_t mention = 0; mention < mentions.count; ++mention) {
        const int64_t row = mention * call.count + begin;
        float *const text = call.text + row, *const image = call.image + row, *const image_text = call.image_text + row;
        products_.multiply({s.attention.data() + mention * s.size * key_columns_, key_columns_,
                            mentions.values.data() + mention * length_ * value_columns_, length_ * products_.panel,
                            no_start_.data(), 0, s.context.data(), s.context_stride, count, length_, value_columns_,
                            false});
        set.row_products(s.context.data(), s.context_stride, s.context.data(), s.context_stride, value_columns_, eights,
                         s.squares.data());
        set.row_products(s.context.data(), s.context_stride, s.cls.data(), value_columns_, value_columns_, eights,
                         s.inner.data());
        set.inner_products(s.text.data(), text_padded_, mentions.text.data() + mention * text_padded_, text_padded_,
                           eights, s.global.data());
        for (int64_t i = 0; i < count; ++i) {
            const float local = s.inner[i] / std::sqrt(s.squares[i] / width + epsilon_) + s.cls_shift[i];
            text[i] = 0.5f * (local + s.global[i]);
        }
        dual_scores(s.query, false, mentions.key, mention, eights, by_entity_, s, s.global.data());
        dual_scores(s.key, true, mentions.query, mention, eights, by_mention_, s, s.scores.data());
        for (int64_t i = 0; i < count; ++i) image[i] = 0.5f * (s.global[i] + s.scores[i]);
        set.inner_products(s.fused.data(), fused_padded_, mentions.fused.data() + mention * fused_padded_,
                           fused_padded_, eights, s.scores.data());
        std::memcpy(image_text, s.scores.data(), static_cast<size_t>(count) * sizeof *image_text);
        finite = finite && mmkg::all_finite(text, count) && mmkg::all_finite(image, count) &&
                 mmkg::all_finite(image_text, count);
    }
    return finite;
}

// Everything but the queries, in float32.
void mmkg_interaction::read_block(const Call &call, int64_t begin, int64_t count, LinkScratch &s) const {
    for (int64_t i = 0; i < count; ++i) {
        const int64_t entity = call.candidates ? call.candidates[begin + i] : begin + i;
        const mmkg_entity_pieces &from = *call.entities;
        read_vectors(from.text, entity, 1, text_width_, s.text.data() + i * text_padded_);
        read_vectors(from.fused, entity, 1, fused_width_, s.fused.data() + i * fused_padded_);
        read_vectors(from.dual_query, entity, 3, image_width_, s.query.vectors.data() + i * 3 * image_padded_);
        read_vectors(from.dual_key, entity, 3, image_width_, s.key.vectors.data() + i * 3 * image_padded_);
        read_vectors(from.cls, entity, 1, width_, s.cls.data() + i * value_columns_);
    }
    set.inner_products(s.cls.data(), value_columns_, context_bias_.data(), rounded_up(width_, kEight),
                       rounded_up(count, kEight), s.cls_shift.data());
    for (int64_t i = 0; i < count; ++i) {
        float *const cls = s.cls.data() + i * value_columns_;
        for (int64_t column = 0; column < width_; ++column) cls[column] *= context_weight_[column];
    }
    query_numbers(s.query, count, by_entity_);
    key_numbers(s.key, count, by_mention_);
}

void mmkg_interaction::read_vectors(const void *pieces, int64_t entity, int64_t vectors, int64_t width,
                                    float *out) const {
    const int64_t padded = rounded_up(width, kEight);
    for (int64_t i = 0; i < vectors; ++i) {
        const int64_t at = (entity * vectors + i) * width;
        if (dtype_ == MMKG_ENTITY_FLOAT16) {
            set.to_float(static_cast<const uint16_t *>(pieces) + at, width, out + i * padded);
        } else {
            const float *const from = static_cast<const float *>(pieces) + at;
            std::memcpy(out + i * padded, from, static_cast<size_t>(width) * sizeof *out);
        }
    }
}

void mmkg_interaction::attend_block(const Call &call, const mmkg::Mentions &mentions, int64_t begin, int64_t count,
                                    LinkScratch &s) const {
    const int64_t bytes = length_ * width_ * (dtype_ == MMKG_ENTITY_FLOAT16 ? 2 : 4);
    const bool rounded = logits_ == MMKG_LOGITS_INT16;
    const void *places[2 * kEight * 2];
    for (int64_t from = 0; from < count; from += group_) {
        const int64_t size = std::min(group_, count - from);
        for (int64_t i = 0; i < size; ++i) {
            const int64_t entity = call.candidates ? call.candidates[begin + from + i] : begin + from + i;
            places[i] = static_cast<const char *>(call.entities->queries) + entity * bytes;
        }
        set.pack[logits_][dtype_]({places, size, length_, width_, eights_, lanes_, s.rows.data(),
                                   s.rounded.data(), query_stride_, s.panel.data(), s.unit.data(), s.mean.data(),
                                   query_stride_});
        if (rounded) {
            products_.multiply({s.mean.data(), query_stride_, mentions.base.data(), width_ * products_.panel,
                                no_start_.data(), 0, s.base.data(), s.base_stride, size, width_, s.base_stride, false});
        }
        for (int64_t mention = 0; mention < mentions.count; ++mention) {
            for (int64_t lane = 0; rounded && lane < lanes_; ++lane) {
                s.pair_unit[lane] = s.unit[lane] * mentions.unit[mention];
            }
            set.attend[logits_]({s.panel.data(), steps_, lanes_, mentions.keys.data() + mention * padded_keys_ * steps_,
                                 steps_, length_, s.pair_unit.data(), s.base.data() + mention * key_columns_,
                                 s.base_stride, share_.data(), size, eights_, s.logits.data(), s.factors.data(),
                                 s.attention.data() + (mention * s.size + from) * key_columns_, key_columns_});
        }
    }
}

void mmkg_interaction::dual_scores(const mmkg::DualSide &entities, bool keys, const mmkg::DualSide &mentions,
                                   int64_t mention, int64_t count, const mmkg::DualWeights &weights, LinkScratch &s,
                                   float *scores) const {
    const ptrdiff_t stride = 3 * image_padded_;
    // z, a, k of the one side and q, c, w of the other.
    const float *const of_entities = entities.vectors.data();
    const float *const of_mention = mentions.vectors.data() + mention * stride;
    constexpr int pairs[mmkg::kGrams][2] = {{0, 0}, {1, 2}, {2, 2}, {1, 1}, {2, 1}};
    for (int gram = 0; gram < mmkg::kGrams; ++gram) {
        const int entity_vector = pairs[gram][keys ? 0 : 1], mention_vector = pairs[gram][keys ? 1 : 0];
        set.inner_products(of_entities + entity_vector * image_padded_, stride,
                           of_mention + mention_vector * image_padded_, image_padded_, count,
                           s.grams.data() + gram * s.size);
    }
    const float *const numbers = mentions.numbers.data() + mention;
    const mmkg::DualSide &of_keys = keys ? entities : mentions, &of_queries = keys ? mentions : entities;
    set.dual[keys]({keys ? entities.numbers.data() : numbers, of_keys.stride,
                    keys ? numbers : entities.numbers.data(), of_queries.stride, s.grams.data(), s.size, count,
                    weights.gate_offset, weights.context_square, epsilon_, scores});
}

mmkg_status mmkg_interaction_open(const mmkg_interaction_weights *weights, int32_t entity_dtype, int32_t logits,
                                  int32_t instruction_set, mmkg_pool *pool, mmkg_interaction **interaction) {
    return mmkg::guarded([&] {
        using mmkg::require;
        require(interaction, "interaction is NULL");
        require(pool, "pool is NULL");
        require(weights, "weights is NULL");
        const mmkg_interaction_weights &w = *weights;
        require(w.length >= 1 && w.length <= MMKG_MAX_TEXT_LENGTH, "weights: length is not from 1 to 2^10");
        for (const int64_t width : {w.text_unit_width, w.text_width, w.image_unit_width, w.cross_modal_unit_width}) {
            require(width >= 1 && width <= MMKG_MAX_UNIT_WIDTH, "weights: a width is not from 1 to 2^12");
        }
        require(w.norm_epsilon > 0 && std::isfinite(w.norm_epsilon),
                "weights: norm_epsilon is not above 0, or not finite");
        require(entity_dtype == MMKG_ENTITY_FLOAT32 || entity_dtype == MMKG_ENTITY_FLOAT16,
                "entity_dtype is none of mmkg_entity_dtype");
        require(logits == MMKG_LOGITS_FLOAT32 || logits == MMKG_LOGITS_INT16, "logits is none of mmkg_logits");
        *interaction = new mmkg_interaction(w, entity_dtype, logits,
                                            mmkg::chosen_set(instruction_set, mmkg::interaction_set), pool->pool);
    });
}

void mmkg_interaction_close(mmkg_interaction *interaction) { delete interaction; }

int32_t mmkg_interaction_instruction_set(const mmkg_interaction *interaction) {
    return interaction ? interaction->set.id : -1;
}

mmkg_status mmkg_interaction_scores(const mmkg_interaction *interaction, const mmkg_mention_pieces *mentions,
                                    int64_t num_mentions, const mmkg_entity_pieces *entities, int64_t num_entities,
                                    const int64_t *candidates, int64_t num_candidates, float *text, float *image,
                                    float *image_text) {
    return mmkg::guarded([&] {
        using mmkg::require;
        require(interaction, "interaction is NULL");
        require(mentions && entities, "mentions or entities is NULL");
        require(num_mentions >= 0 && num_mentions <= MMKG_MAX_MENTIONS, "num_mentions is not from 0 to 2^20");
        require(num_entities >= 0 && num_entities <= MMKG_MAX_ROWS, "num_entities is not from 0 to 2^31 - 1");
        const int64_t count = candidates ? num_candidates : num_entities;
        require(count >= 0 && count <= MMKG_MAX_ROWS, "num_candidates is not from 0 to 2^31 - 1");
        if (count == 0 || num_mentions == 0) return;
        for (int64_t i = 0; candidates && i < count; ++i) {
            require(candidates[i] >= 0 && candidates[i] < num_entities, "candidates: one is no row of the entities");
        }
        const mmkg_mention_pieces &m = *mentions;
        require(m.keys && m.values && m.text && m.dual_key && m.dual_query && m.fused,
                "a piece of the mentions is NULL");
        const mmkg_entity_pieces &e = *entities;
        require(e.queries && e.cls && e.text && e.dual_query && e.dual_key && e.fused,
                "a piece of the entities is NULL");
        require(text && image && image_text, "text, image or image_text is NULL");
        const mmkg::FloatMode mode;
        interaction->score(m, num_mentions, {entities, candidates, count, text, image, image_text});
    });
}
