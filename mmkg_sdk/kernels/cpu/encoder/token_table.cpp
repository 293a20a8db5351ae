#include "encoder/token_table.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "common/float_mode.h"
#include "common/status.h"
#include "table/scan.h"

namespace mmkg {

namespace {

// The more tokens, the more a slice of values is worth that many entities take from while it is in the cache: chunks
// grow by a block with every so many tokens, up to some 3 MiB of weights a thread at 512.
constexpr int64_t kTokensPerBlock = 32, kMostBlocks = 5;
// Hidden columns at a time: both weight strips fit the second-level cache beside a block at width 256.
constexpr int64_t kHiddenStrip = 256;

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
    const int64_t tokens = batch.tokens[0].count + batch.tokens[1].count;
    // Two chunks a thread or more, where there are so many tiles: entities differ in their number of tokens.
    const int64_t most = 2 * lease.threads();
    const int64_t share = mmkg::rounded_up((batch.size + most - 1) / most, set.tile_rows);
    const int64_t blocks = std::clamp<int64_t>(tokens / mmkg::kTokensPerBlock, 1, mmkg::kMostBlocks);
    const int64_t chunk = std::min(share, blocks * block_), chunks = (batch.size + chunk - 1) / chunk;
    std::atomic<int64_t> next{0};
    mmkg::FirstFault fault;
    lease.run(static_cast<int>(std::min<int64_t>(chunks, lease.threads())), [&](int) {
        const mmkg::FloatMode mode;
        auto scratch = take_scratch(chunk, tokens);
        for (int64_t i; !fault.any() && (i = next++) < chunks;) {
            int64_t entity = 0;
            const int64_t begin = i * chunk, count = std::min(chunk, batch.size - begin);
            const Fault found = encode_chunk(batch, begin, count, *scratch, entity);
            if (found != kNone) fault.report(entity, found);
        }
        spares_.give_back(std::move(scratch));
    });
    fault.raise();
}

// `entity` is set where something is wrong.
mmkg_token_table::Fault mmkg_token_table::encode_chunk(const Batch &batch, int64_t begin, int64_t count,
                                                       EncoderScratch &s, int64_t &entity) const {
    Fault fault = kNone;
    for (int64_t at = 0; at < count && fault == kNone; at += block_) {
        fault = attend(batch, begin + at, std::min(block_, count - at), at, s, entity);
    }
    if (fault != kNone) return fault;
    weigh(count, s);
    for (int64_t at = 0; at < count && fault == kNone; at += block_) {
        float *const vectors = batch.vectors + (begin + at) * width;
        fault = finish(s.context.data() + at * s.context_stride, vectors, std::min(block_, count - at), s, entity);
        if (fault != kNone) entity += begin + at;
    }
    return fault;
}

// Weights of a block's tokens, and the value of its structural tokens as contexts; it has place `place` in its chunk.
mmkg_token_table::Fault mmkg_token_table::attend(const Batch &batch, int64_t begin, int64_t count, int64_t place,
                                                 EncoderScratch &s, int64_t &entity) const {
    const auto wide = static_cast<ptrdiff_t>(width);
    const int64_t wrong =
        set.normalise({batch.structure + begin * width, wide, structure_scale_.data(), structure_shift_.data(),
                       s.vectors.data(), s.vectors_stride, nullptr, nullptr, 0, count, width, epsilon_});
    entity = begin + wrong;
    if (wrong >= 0) return kStructure;
    multiply(value_, s.vectors.data(), s.vectors_stride, s.context.data() + place * s.context_stride,
             s.context_stride, count);
    for (int64_t i = 0; i < count; ++i) {
        entity = begin + i;
        if (!gather(batch, entity, place + i, s)) return kToken;
        set.attention_weights({s.vectors.data() + i * s.vectors_stride, logit_weight_.data(),
                               s.weights.data() + (place + i) * heads * s.weight_stride, s.weight_stride, heads, width,
                               s.counts[place + i]});
    }
    return kNone;
}

// The rows of an entity's tokens and their logits. False where a token is no row.
bool mmkg_token_table::gather(const Batch &batch, int64_t entity, int64_t place, EncoderScratch &s) const {
    float *const weights = s.weights.data() + place * heads * s.weight_stride;
    int32_t *const rows = s.rows.data() + place * s.row_stride;
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
    s.counts[place] = count;
    for (int64_t i = 0; i < mmkg::kFetchAhead; ++i) rows[count + i] = count ? rows[count - 1] : 0;
    for (int64_t head = 0; head < heads; ++head) {
        float *const logits = weights + head * s.weight_stride;
        logits[0] = pooled_logits_[head];
        for (int64_t i = 0; i < count; ++i) logits[2 + i] = logits_[rows[i] * heads + head];
    }
    return true;
}

// The weighted sums of a chunk, slice by slice.
void mmkg_token_table::weigh(int64_t count, EncoderScratch &s) const {
    const int64_t table_rows = visual_rows + text_rows;
    for (int64_t head = 0; head < heads; ++head) {
        for (int64_t from = 0; from < head_columns_; from += mmkg::kSliceColumns) {
            const int64_t columns = std::min(mmkg::kSliceColumns, head_columns_ - from);
            const int64_t column = head * head_columns_ + from;
            const void *values = storage_ == MMKG_FLOAT32
                                     ? static_cast<const void *>(values_.data() + table_rows * column)
                                     : static_cast<const void *>(rounded_values_.data() + table_rows * column);
            for (int64_t i = 0; i < count; ++i) {
                set.weigh[storage_]({values, columns, pooled_value_.data() + column, s.rows.data() + i * s.row_stride,
                                     s.counts[i], s.weights.data() + (i * heads + head) * s.weight_stride,
                                     s.context.data() + i * s.context_stride + column});
            }
        }
    }
}

// What follows the attention, for a block.
mmkg_token_table::Fault mmkg_token_table::finish(float *context, float *vectors, int64_t count, EncoderScratch &s,
                                                 int64_t &entity) const {
    float *const sum = s.vectors.data();
    const ptrdiff_t stride = s.vectors_stride, context_stride = s.context_stride;
    multiply(output_, context, context_stride, sum, stride, count);
    // From here on `context` holds the attended vectors, and `sum` these plus the feed-forward part.
    float *const attended = context;
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
    entity = set.normalise({sum, stride, norm2_scale_.data(), norm2_shift_.data(), vectors,
                            static_cast<ptrdiff_t>(width), nullptr, nullptr, 0, count, width, epsilon_});
    return entity >= 0 ? kOverflow : kNone;
}

void mmkg_token_table::multiply(const mmkg::PackedMatrix &matrix, const float *left, ptrdiff_t left_stride, float *out,
                                ptrdiff_t out_stride, int64_t rows) const {
    set.multiply({left, left_stride, matrix.panels.data(), static_cast<ptrdiff_t>(matrix.inner * set.panel),
                  matrix.bias.data(), 0, out, out_stride, rows, matrix.inner, matrix.columns, false});
}

std::unique_ptr<EncoderScratch> mmkg_token_table::take_scratch(int64_t chunk, int64_t tokens) const {
    std::unique_ptr<EncoderScratch> scratch = spares_.take();
    if (!scratch) {
        scratch = std::make_unique<EncoderScratch>();
        scratch->vectors_stride = mmkg::stride_of(width);
        scratch->context_stride = mmkg::stride_of(std::max(attended_, width));
        scratch->hidden_stride = mmkg::stride_of(std::min(mmkg::kHiddenStrip, feedforward_width));
        scratch->vectors = mmkg::Aligned<float>(block_ * scratch->vectors_stride);
        scratch->hidden = mmkg::Aligned<float>(block_ * scratch->hidden_stride);
    }
    // Stores go up to a whole group of lanes past the last token.
    scratch->weight_stride = mmkg::rounded_up(tokens + 2, mmkg::kHeadGroup);
    scratch->row_stride = tokens + 1 + mmkg::kFetchAhead;
    mmkg::hold(scratch->weights, chunk * heads * scratch->weight_stride);
    mmkg::hold(scratch->rows, chunk * scratch->row_stride);
    mmkg::hold(scratch->context, chunk * scratch->context_stride);
    mmkg::hold(scratch->counts, chunk);
    return scratch;
}

void mmkg::require_sizes(const mmkg_token_table_weights &w) {
    require(w.width >= 1 && w.width <= MMKG_MAX_ENCODER_WIDTH, "weights: width is not from 1 to 2^14");
    require(w.heads >= 1 && w.width % w.heads == 0, "weights: width is no multiple of heads");
    require(w.feedforward_width >= 1 && w.feedforward_width <= MMKG_MAX_FEEDFORWARD_WIDTH,
            "weights: feedforward_width is not from 1 to 2^16");
    require(w.visual_rows >= 0 && w.visual_rows <= MMKG_MAX_ROWS && w.text_rows >= 0 &&
                w.text_rows <= MMKG_MAX_ROWS - w.visual_rows,
            "weights: visual_rows and text_rows are not from 0 to 2^31 - 1 together");
    require(w.norm_epsilon >= 0 && std::isfinite(w.norm_epsilon), "weights: norm_epsilon is negative or not finite");
}

mmkg_status mmkg_token_table_open(const mmkg_token_table_weights *weights, int32_t storage, int32_t instruction_set,
                                  mmkg_pool *pool, mmkg_token_table **encoder) {
    return mmkg::guarded([&] {
        using mmkg::require;
        require(encoder, "encoder is NULL");
        require(pool, "pool is NULL");
        require(weights, "weights is NULL");
        mmkg::require_sizes(*weights);
        require(storage == MMKG_FLOAT32 || storage == MMKG_BFLOAT16, "storage is none of mmkg_storage");
        const mmkg::FloatMode mode;
        *encoder = new mmkg_token_table(*weights, storage, mmkg::chosen_encoder_set(instruction_set), pool->pool);
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
