// What the late interaction makes of its weights and of some mentions before it meets the entities.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>

#include "common/status.h"
#include "link/interaction.h"

namespace mmkg {

namespace {

Aligned<float> copied(const float *values, int64_t count, const std::string &name) {
    require(values, ("weights: " + name + " is NULL").c_str());
    Aligned<float> out = zeros(rounded_up(count, kEight));
    for (int64_t i = 0; i < count; ++i) {
        if (!std::isfinite(values[i])) {
            throw BadArgument("weights: " + name + " holds NaN or infinity at " + std::to_string(i));
        }
        out[i] = values[i];
    }
    return out;
}

float finite(float value, const std::string &name) {
    if (!std::isfinite(value)) throw BadArgument("weights: " + name + " is not finite");
    return value;
}

const EncoderSet &products_of(const InteractionSet &set) {
    if (set.id == MMKG_NEON) return *neon_encoder_set();
    if (set.id == MMKG_AVX512_VNNI) return *avx512_encoder_set();
    return set.id == MMKG_AVX2 ? *avx2_encoder_set() : portable_encoder_set();
}

int64_t fives_and_eights(int64_t length) { return std::max(rounded_up(length, kEight), rounded_up(length, kTileKeys)); }

// So many entities side by side fill about ten eights, in pairs of them.
int64_t group_of(int64_t eights) {
    const int64_t group = std::max<int64_t>(1, 10 / eights);
    return group + (group * eights) % 2;
}

void copy_rows(const float *from, int64_t rows, int64_t width, int64_t padded, float *to) {
    for (int64_t row = 0; row < rows; ++row) {
        std::memcpy(to + row * padded, from + row * width, static_cast<size_t>(width) * sizeof *to);
    }
}

}  // namespace

Aligned<float> zeros(int64_t count) {
    Aligned<float> out(count);
    std::memset(out.data(), 0, static_cast<size_t>(count) * sizeof(float));
    return out;
}

DualWeights::DualWeights(const mmkg_dual_weights &weights, int64_t width, const char *name)
    : to_gate(copied(weights.to_gate, width, std::string(name) + ".to_gate")),
      context(copied(weights.context, width, std::string(name) + ".context")),
      scale(copied(weights.scale, width, std::string(name) + ".scale")),
      shift(copied(weights.shift, width, std::string(name) + ".shift")),
      gate_offset(finite(weights.gate_offset, std::string(name) + ".gate_offset")),
      context_square(finite(weights.context_square, std::string(name) + ".context_square")) {}

}  // namespace mmkg

using mmkg::kEight;
using mmkg::rounded_up;
using mmkg::zeros;

mmkg_interaction::mmkg_interaction(const mmkg_interaction_weights &w, int32_t dtype, int32_t logits,
                                   const mmkg::InteractionSet &chosen, mmkg::Pool &pool)
    : set(chosen),
      pool_(pool),
      products_(mmkg::products_of(chosen)),
      dtype_(dtype),
      logits_(logits),
      length_(w.length),
      width_(w.text_unit_width),
      text_width_(w.text_width),
      image_width_(w.image_unit_width),
      fused_width_(w.cross_modal_unit_width),
      text_padded_(rounded_up(text_width_, kEight)),
      image_padded_(rounded_up(image_width_, kEight)),
      fused_padded_(rounded_up(fused_width_, kEight)),
      eights_(rounded_up(length_, kEight) / kEight),
      group_(mmkg::group_of(eights_)),
      lanes_(group_ * eights_ * kEight),
      padded_keys_(mmkg::fives_and_eights(length_)),
      steps_(logits == MMKG_LOGITS_INT16 ? (width_ + 1) / 2 : width_),
      key_columns_(rounded_up(length_, kEight)),
      query_stride_(rounded_up(width_, 2 * kEight)),
      value_columns_(rounded_up(width_, mmkg::kColumnGroup)),
      epsilon_(w.norm_epsilon),
      context_weight_(mmkg::copied(w.context_weight, width_, "context_weight")),
      context_bias_(mmkg::copied(w.context_bias, width_, "context_bias")),
      share_(zeros(lanes_)),
      no_start_(zeros(std::max(value_columns_, mmkg::kColumnGroup + mmkg::kMentionGroup * key_columns_))),
      by_entity_(w.by_entity, image_width_, "by_entity"),
      by_mention_(w.by_mention, image_width_, "by_mention") {
    for (int64_t lane = 0; lane < lanes_; ++lane) {
        if (lane % (eights_ * kEight) < length_) share_[lane] = 1.0f / static_cast<float>(length_);
    }
}

mmkg::Mentions mmkg_interaction::read_mentions(const mmkg_mention_pieces &pieces, int64_t first, int64_t count) const {
    const int64_t panel = products_.panel, text_floats = length_ * width_;
    mmkg::Mentions m;
    m.count = count;
    m.keys = zeros(count * padded_keys_ * steps_);
    m.unit = zeros(count);
    m.base = zeros(logits_ == MMKG_LOGITS_INT16 ? rounded_up(count * key_columns_, mmkg::kColumnGroup) * width_ : 0);
    m.values = zeros(count * length_ * value_columns_);
    m.text = zeros(count * text_padded_);
    m.fused = zeros(count * fused_padded_);
    mmkg::copy_rows(pieces.text + first * text_width_, count, text_width_, text_padded_, m.text.data());
    mmkg::copy_rows(pieces.fused + first * fused_width_, count, fused_width_, fused_padded_, m.fused.data());
    for (int64_t mention = 0; mention < count; ++mention) {
        read_text_keys(pieces.keys + (first + mention) * text_floats, mention, m);
        float *const panels = m.values.data() + mention * length_ * value_columns_;
        for (int64_t row = 0; row < length_; ++row) {
            const float *values = pieces.values + (first + mention) * text_floats + row * width_;
            // The norm behind takes the mean away.
            double mean = 0;
            for (int64_t i = 0; i < width_; ++i) mean += values[i];
            mean /= static_cast<double>(width_);
            for (int64_t i = 0; i < width_; ++i) {
                panels[(i / panel * length_ + row) * panel + i % panel] = static_cast<float>(values[i] - mean);
            }
        }
    }
    for (mmkg::DualSide *side : {&m.key, &m.query}) {
        const float *from = (side == &m.key ? pieces.dual_key : pieces.dual_query) + first * 3 * image_width_;
        side->stride = rounded_up(count, kEight);
        side->vectors = zeros(side->stride * 3 * image_padded_);
        side->numbers = zeros(mmkg::kSideNumbers * side->stride);
        mmkg::copy_rows(from, 3 * count, image_width_, image_padded_, side->vectors.data());
    }
    key_numbers(m.key, count, by_entity_);
    query_numbers(m.query, count, by_mention_);
    return m;
}

// Logits are computed in powers of two. All logits of one softmax may move by the same number, so the keys lose their
// mean; with less of them to round, int16 takes less away.
void mmkg_interaction::read_text_keys(const float *keys, int64_t mention, mmkg::Mentions &m) const {
    constexpr double log2_e = 1.4426950408889634;
    const int64_t panel = products_.panel;
    mmkg::Aligned<float> centred(length_ * width_);
    for (int64_t i = 0; i < width_; ++i) {
        double mean = 0;
        for (int64_t row = 0; row < length_; ++row) mean += keys[row * width_ + i];
        mean /= static_cast<double>(length_);
        for (int64_t row = 0; row < length_; ++row) {
            centred[row * width_ + i] = static_cast<float>((keys[row * width_ + i] - mean) * log2_e);
        }
    }
    float *const out = m.keys.data() + mention * padded_keys_ * steps_;
    if (logits_ == MMKG_LOGITS_FLOAT32) {
        std::memcpy(out, centred.data(), static_cast<size_t>(length_ * width_) * sizeof *out);
        return;
    }
    double most = 0;
    for (int64_t row = 0; row < length_; ++row) {
        double square = 0;
        for (int64_t i = 0; i < width_; ++i) {
            const float value = centred[row * width_ + i];
            square += static_cast<double>(value) * value;
            const int64_t column = mention * key_columns_ + row;
            m.base[(column / panel * width_ + i) * panel + column % panel] = value;
        }
        most = square <= most ? most : square;  // NaN stays
    }
    const double unit = std::sqrt(most) / mmkg::kRowNorm;
    m.unit[mention] = static_cast<float>(unit);
    if (!(unit > 1e-35) || !std::isfinite(unit)) return;  // 16-bit zeros times this unit are zero, or NaN
    for (int64_t row = 0; row < length_; ++row) {
        for (int64_t i = 0; i < width_; ++i) {
            const auto rounded = static_cast<int16_t>(std::lrint(centred[row * width_ + i] / unit));
            std::memcpy(reinterpret_cast<char *>(out + row * steps_) + i * 2, &rounded, sizeof rounded);
        }
    }
}

void mmkg_interaction::key_numbers(mmkg::DualSide &side, int64_t count, const mmkg::DualWeights &weights) const {
    const float *const z = side.vectors.data(), *const a = z + image_padded_, *const k = a + image_padded_;
    const ptrdiff_t stride = 3 * image_padded_;
    const int64_t eights = rounded_up(count, kEight);
    const auto number = [&](int which) { return side.numbers.data() + which * side.stride; };
    set.row_products(z, stride, z, stride, image_padded_, eights, number(mmkg::kZz));
    set.row_products(a, stride, a, stride, image_padded_, eights, number(mmkg::kAa));
    set.row_products(k, stride, k, stride, image_padded_, eights, number(mmkg::kKk));
    set.row_products(a, stride, k, stride, image_padded_, eights, number(mmkg::kAk));
    set.inner_products(z, stride, weights.to_gate.data(), image_padded_, eights, number(mmkg::kZGate));
    set.inner_products(a, stride, weights.context.data(), image_padded_, eights, number(mmkg::kAContext));
    set.inner_products(k, stride, weights.context.data(), image_padded_, eights, number(mmkg::kKContext));
}

void mmkg_interaction::query_numbers(mmkg::DualSide &side, int64_t count, const mmkg::DualWeights &weights) const {
    float *const q = side.vectors.data(), *const c = q + image_padded_, *const w = c + image_padded_;
    const ptrdiff_t stride = 3 * image_padded_;
    const int64_t eights = rounded_up(count, kEight);
    const auto number = [&](int which) { return side.numbers.data() + which * side.stride; };
    set.inner_products(w, stride, weights.shift.data(), image_padded_, eights, number(mmkg::kShift));
    for (int64_t row = 0; row < count; ++row) {
        for (int64_t i = 0; i < image_width_; ++i) w[row * stride + i] *= weights.scale[i];
    }
    set.row_products(q, stride, q, stride, image_padded_, eights, number(mmkg::kQq));
    set.row_products(c, stride, c, stride, image_padded_, eights, number(mmkg::kCc));
    set.row_products(c, stride, w, stride, image_padded_, eights, number(mmkg::kCw));
    set.inner_products(q, stride, weights.to_gate.data(), image_padded_, eights, number(mmkg::kQGate));
    set.inner_products(c, stride, weights.context.data(), image_padded_, eights, number(mmkg::kCContext));
    set.inner_products(w, stride, weights.context.data(), image_padded_, eights, number(mmkg::kWContext));
}
