#include "token_table.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <string>

#include "float_mode.h"
#include "scan.h"
#include "status.h"

namespace mmkg {

namespace {

// Hidden columns at a time: both weight strips fit the second-level cache beside a block at width 256.
constexpr int64_t kHiddenStrip = 256;

const EncoderSet *encoder_set(int32_t id) {
    if (!mmkg_has_instruction_set(id)) return nullptr;
    if (id == MMKG_PORTABLE) return &portable_encoder_set();
    if (id == MMKG_AVX2) return avx2_encoder_set();
    if (id >= MMKG_AVX512 && id <= MMKG_AVX512_BF16) return avx512_encoder_set();
    return nullptr;
}

const EncoderSet &chosen_encoder_set(int32_t id) {
    if (id != MMKG_BEST) {
        const EncoderSet *set = encoder_set(id);
        require(set, "instruction_set is none of this build and processor");
        return *set;
    }
    const char *wanted = std::getenv("MMKG_INSTRUCTION_SET");
    for (int32_t best = MMKG_AVX512_BF16; best >= MMKG_PORTABLE; --best) {
        const EncoderSet *set = encoder_set(best);
        if (set && (!wanted || !*wanted || std::strcmp(wanted, mmkg_instruction_set_name(best)) == 0)) return *set;
    }
    throw BadArgument(
        "MMKG_INSTRUCTION_SET names none of this processor's: portable, avx2, avx512, avx512_vnni or avx512_bf16");
}

ptrdiff_t stride_of(int64_t columns) { return rounded_up(columns, kColumnGroup) + kHeadGroup; }

// The lowest entity that failed. Blocks are handed out in ascending order and begun ones end, so of faults of one kind
// it is the first of the batch, whatever the threads.
class FirstFault {
public:
    void report(int64_t entity, mmkg_token_table::Fault fault) {
        const int64_t code = entity * 4 + fault;
        int64_t before = code_.load();
        while (code < before && !code_.compare_exchange_weak(before, code)) {
        }
    }
    bool any() const { return code_.load(std::memory_order_relaxed) != INT64_MAX; }
    void raise() const {
        if (!any()) return;
        const std::string entity = "entity " + std::to_string(code_.load() / 4);
        switch (code_.load() % 4) {
            case mmkg_token_table::kStructure:
                throw BadArgument(entity + ": its structure holds NaN, infinity, or numbers too large for float32");
            case mmkg_token_table::kToken:
                throw BadArgument(entity + ": a token is no row of its codebook");
            default:
                throw NotANumber();
        }
    }

private:
    std::atomic<int64_t> code_{INT64_MAX};
};

}  // namespace

}  // namespace mmkg

using mmkg::EncoderScratch;

void mmkg_token_table::encode(const Batch &batch) const {
    mmkg::Pool::Lease lease(pool_);
    // Two blocks a thread or more, where there are so many tiles: entities differ in their number of tokens.
    const int64_t share = mmkg::rounded_up((batch.size + 2 * lease.threads() - 1) / (2 * lease.threads()), set.tile_rows);
    const int64_t block = std::min(share, block_), blocks = (batch.size + block - 1) / block;
    std::atomic<int64_t> next{0};
    mmkg::FirstFault fault;
    lease.run(static_cast<int>(std::min<int64_t>(blocks, lease.threads())), [&](int) {
        const mmkg::FloatMode mode;
        auto scratch = take_scratch(batch.tokens[0].count + batch.tokens[1].count);
        for (int64_t i; !fault.any() && (i = next++) < blocks;) {
            int64_t entity = 0;
            const int64_t begin = i * block, count = std::min(block, batch.size - begin);
            const Fault found = encode_block(batch, begin, count, *scratch, entity);
            if (found != kNone) fault.report(begin + entity, found);
        }
        give_back(std::move(scratch));
    });
    fault.raise();
}

// `entity` is set where something is wrong.
mmkg_token_table::Fault mmkg_token_table::encode_block(const Batch &batch, int64_t begin, int64_t count,
                                                       EncoderScratch &s, int64_t &entity) const {
    float *const structure = s.vectors.data(), *const context = s.context.data();
    const ptrdiff_t stride = s.vectors_stride, context_stride = s.context_stride;
    const auto wide = static_cast<ptrdiff_t>(width);
    entity = set.normalise({batch.structure + begin * width, wide, structure_scale_.data(), structure_shift_.data(),
                            structure, stride, nullptr, nullptr, 0, count, width, epsilon_});
    if (entity >= 0) return kStructure;
    multiply(value_, structure, stride, context, context_stride, count);
    for (entity = 0; entity < count; ++entity) {
        if (!attend(batch, begin + entity, structure + entity * stride, context + entity * context_stride, s)) {
            return kToken;
        }
    }
    multiply(output_, context, context_stride, structure, stride, count);
    // From here on `context` holds the attended vectors, and `structure` these plus the feed-forward part.
    float *const attended = context, *const sum = structure;
    entity = set.normalise({sum, stride, norm1_scale_.data(), norm1_shift_.data(), attended, context_stride,
                            feedforward_.bias.data(), sum, stride, count, width, epsilon_});
    if (entity >= 0) return kOverflow;
    const int panel = set.panel;
    for (int64_t from = 0; from < hidden_.columns; from += mmkg::kHiddenStrip) {
        const int64_t columns = std::min(mmkg::kHiddenStrip, hidden_.columns - from);
        const int64_t inner = std::min(columns, feedforward_width - from);
        set.multiply({attended, context_stride, hidden_.panels.data() + from * width,
                      static_cast<ptrdiff_t>(width * panel), hidden_.bias.data() + from, 0, s.hidden.data(),
                      s.hidden_stride, count, width, columns, true});
        set.multiply({s.hidden.data(), s.hidden_stride, feedforward_.panels.data() + from * panel,
                      static_cast<ptrdiff_t>(feedforward_width * panel), sum, stride, sum, stride, count, inner,
                      feedforward_.columns, false});
    }
    entity = set.normalise({sum, stride, norm2_scale_.data(), norm2_shift_.data(), batch.vectors + begin * width, wide,
                            nullptr, nullptr, 0, count, width, epsilon_});
    return entity >= 0 ? kOverflow : kNone;
}

// False where a token is no row.
bool mmkg_token_table::attend(const Batch &batch, int64_t entity, const float *structure, float *context,
                              EncoderScratch &s) const {
    float *const weights = s.weights.data();
    int32_t *const rows = s.rows.data();
    int64_t count = 0;
    for (const mmkg::Tokens &tokens : batch.tokens) {
        const int64_t *ids = tokens.ids + entity * tokens.count;
        const uint8_t *mask = tokens.mask ? tokens.mask + entity * tokens.count : nullptr;
        for (int64_t i = 0; i < tokens.count; ++i) {
            if (static_cast<uint64_t>(ids[i]) >= static_cast<uint64_t>(tokens.rows)) return false;
            rows[count] = static_cast<int32_t>(ids[i] + tokens.first_row);
            count += !(mask && mask[i]);
        }
    }
    for (int64_t i = 0; i < mmkg::kFetchAhead; ++i) rows[count + i] = count ? rows[count - 1] : 0;
    for (int64_t head = 0; head < heads; ++head) {
        float *const logits = weights + head * s.weight_stride;
        logits[0] = pooled_logits_[head];
        for (int64_t i = 0; i < count; ++i) logits[2 + i] = logits_[rows[i] * heads + head];
    }
    const void *values = storage_ == MMKG_FLOAT32 ? static_cast<const void *>(values_.data())
                                                        : static_cast<const void *>(rounded_values_.data());
    set.attend[storage_]({structure, logit_weight_.data(), values, pooled_value_.data(), rows, count, weights,
                          s.weight_stride, heads, head_columns_, width, context});
    return true;
}

void mmkg_token_table::multiply(const mmkg::PackedMatrix &matrix, const float *left, ptrdiff_t left_stride, float *out,
                                ptrdiff_t out_stride, int64_t rows) const {
    set.multiply({left, left_stride, matrix.panels.data(), static_cast<ptrdiff_t>(matrix.inner * set.panel),
                  matrix.bias.data(), 0, out, out_stride, rows, matrix.inner, matrix.columns, false});
}

std::unique_ptr<EncoderScratch> mmkg_token_table::take_scratch(int64_t tokens) const {
    std::unique_ptr<EncoderScratch> scratch;
    for (auto &spare : spare_) {
        scratch.reset(spare.exchange(nullptr));
        if (scratch) break;
    }
    if (!scratch) {
        scratch = std::make_unique<EncoderScratch>();
        scratch->vectors_stride = mmkg::stride_of(width);
        scratch->context_stride = mmkg::stride_of(std::max(attended_, width));
        scratch->hidden_stride = mmkg::stride_of(std::min(mmkg::kHiddenStrip, feedforward_width));
        scratch->vectors = mmkg::Aligned<float>(block_ * scratch->vectors_stride);
        scratch->context = mmkg::Aligned<float>(block_ * scratch->context_stride);
        scratch->hidden = mmkg::Aligned<float>(block_ * scratch->hidden_stride);
    }
    // Stores go up to a whole group of lanes past the last token.
    const int64_t padded = mmkg::rounded_up(tokens + 2, mmkg::kHeadGroup);
    if (scratch->weight_stride < padded) {
        scratch->weight_stride = padded;
        scratch->weights = mmkg::Aligned<float>(padded * heads);
        scratch->rows = mmkg::Aligned<int32_t>(padded + mmkg::kFetchAhead);
    }
    return scratch;
}

void mmkg_token_table::give_back(std::unique_ptr<EncoderScratch> scratch) const {
    for (auto &spare : spare_) {
        EncoderScratch *none = nullptr;
        if (spare.compare_exchange_strong(none, scratch.get())) {
            scratch.release();
            return;
        }
    }
}

mmkg_status mmkg_token_table_open(const mmkg_token_table_weights *weights, int32_t storage, int32_t instruction_set,
                                  mmkg_pool *pool, mmkg_token_table **encoder) {
    return mmkg::guarded([&] {
        using mmkg::require;
        require(encoder, "encoder is NULL");
        require(pool, "pool is NULL");
        require(weights, "weights is NULL");
        const mmkg_token_table_weights &w = *weights;
        require(w.width >= 1 && w.width <= MMKG_MAX_ENCODER_WIDTH, "weights: width is not from 1 to 2^14");
        require(w.heads >= 1 && w.width % w.heads == 0, "weights: width is no multiple of heads");
        require(w.feedforward_width >= 1 && w.feedforward_width <= MMKG_MAX_FEEDFORWARD_WIDTH,
                "weights: feedforward_width is not from 1 to 2^16");
        require(w.visual_rows >= 0 && w.visual_rows <= MMKG_MAX_ROWS && w.text_rows >= 0 &&
                    w.text_rows <= MMKG_MAX_ROWS - w.visual_rows,
                "weights: visual_rows and text_rows are not from 0 to 2^31 - 1 together");
        require(w.norm_epsilon >= 0 && std::isfinite(w.norm_epsilon), "weights: norm_epsilon is negative or not finite");
        require(storage == MMKG_FLOAT32 || storage == MMKG_BFLOAT16, "storage is none of mmkg_storage");
        const mmkg::FloatMode mode;
        *encoder = new mmkg_token_table(w, storage, mmkg::chosen_encoder_set(instruction_set), pool->pool);
    });
}

void mmkg_token_table_close(mmkg_token_table *encoder) { delete encoder; }

int32_t mmkg_token_table_instruction_set(const mmkg_token_table *encoder) { return encoder ? encoder->set.id : -1; }

mmkg_status mmkg_token_table_encode(const mmkg_token_table *encoder, int64_t batch, const float *structure,
                                    const int64_t *visual_tokens, const uint8_t *visual_mask, int64_t num_visual_tokens,
                                    const int64_t *text_tokens, const uint8_t *text_mask, int64_t num_text_tokens,
                                    float *vectors) {
    return mmkg::guarded([&] {
        using mmkg::require;
        require(encoder, "encoder is NULL");
        require(batch >= 0 && batch <= INT32_MAX, "batch is negative or above 2^31 - 1");
        require((structure && vectors) || batch == 0, "structure or vectors is NULL");
        require(num_visual_tokens >= 0 && num_visual_tokens <= MMKG_MAX_TOKENS && num_text_tokens >= 0 &&
                    num_text_tokens <= MMKG_MAX_TOKENS,
                "a number of tokens is not from 0 to 2^20");
        require((visual_tokens || num_visual_tokens == 0 || batch == 0) &&
                    (text_tokens || num_text_tokens == 0 || batch == 0),
                "tokens are NULL");
        if (batch == 0) return;
        const mmkg::Tokens visual{visual_tokens, visual_mask, num_visual_tokens, encoder->visual_rows, 0};
        const mmkg::Tokens text{text_tokens, text_mask, num_text_tokens, encoder->text_rows, encoder->visual_rows};
        encoder->encode({batch, structure, {visual, text}, vectors});
    });
}
