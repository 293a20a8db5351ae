// mmkg_gpu_token_table_...: the encoder's weights on the GPU, and launches of triton/token_table.py.
#include <algorithm>
#include <memory>

#include "cuda/launch/encoder/layer.h"
#include "cuda/launch/encoder/weights.h"
#include "encoder/token_table.h"
#include "mmkg_cuda_encoder.h"

using mmkg::require;
using namespace mmkg::cuda;

namespace {

// What rows come in: a multiple of ROWS of every kernel.
constexpr int64_t kTileRows = 64;

struct Batch {
    int64_t size, num_visual_tokens, num_text_tokens;
    Address structure, visual_tokens, visual_mask, text_tokens, text_mask, vectors;
};

}  // namespace

struct mmkg_gpu_token_table {
    mmkg_gpu_token_table(mmkg_gpu &gpu, const mmkg_token_table_weights &weights, int32_t storage);

    void encode(const Batch &batch, Stream stream) const;

    mmkg_gpu &gpu;

private:
    void encode_block(const Batch &batch, int64_t first, int64_t count, Address workspace, Stream stream) const;

    const LayerWidths widths_;
    const int64_t visual_rows_, text_rows_;
    const float epsilon_;
    const ByRows kernel_;
    Address structure_norm_weight_, structure_norm_bias_, type_vector_, logit_weight_, logits_, values_, value_weight_,
        value_bias_, pooled_, pooled_logits_, pooled_value_, output_weight_, output_bias_, norm1_weight_, norm1_bias_,
        hidden_weight_, hidden_bias_, feedforward_weight_, feedforward_bias_, norm2_weight_, norm2_bias_;
    std::unique_ptr<DeviceMemory> memory_;
};

mmkg_gpu_token_table::mmkg_gpu_token_table(mmkg_gpu &gpu_, const mmkg_token_table_weights &w, int32_t storage)
    : gpu(gpu_),
      widths_(w.width, w.heads, w.feedforward_width),
      visual_rows_(w.visual_rows),
      text_rows_(w.text_rows),
      epsilon_(w.norm_epsilon),
      kernel_(gpu, widths_.named(storage == MMKG_BFLOAT16 ? "token_table_bf16" : "token_table_fp32")) {
    const Axis columns = widths_.columns(), groups = widths_.groups(), hidden = widths_.hidden();
    const Axis heads = Axis::whole(w.heads, w.heads);
    const int64_t num_rows = w.visual_rows + w.text_rows;
    const Axis rows{num_rows, num_rows, std::max<int64_t>(num_rows, 1), std::max<int64_t>(num_rows, 1)};
    Weights weights;
    weights.add(structure_norm_weight_, w.structure_norm_weight, columns, "structure_norm_weight");
    weights.add(structure_norm_bias_, w.structure_norm_bias, columns, "structure_norm_bias");
    weights.add(type_vector_, w.type_vector, columns, "type_vector");
    weights.add_transposed(logit_weight_, w.logit_weight, columns, heads, "logit_weight");
    weights.add(logits_, w.logits, rows, heads, "logits");
    if (storage == MMKG_BFLOAT16) {
        weights.add_bfloat16(values_, w.values, rows, groups, "values");
    } else {
        weights.add(values_, w.values, rows, groups, "values");
    }
    weights.add(value_weight_, w.value_weight, columns, groups, "value_weight");
    weights.add(value_bias_, w.value_bias, groups, "value_bias");
    weights.add(pooled_, w.pooled, columns, "pooled");
    weights.add(pooled_logits_, w.pooled_logits, heads, "pooled_logits");
    weights.add(pooled_value_, w.pooled_value, groups, "pooled_value");
    weights.add(output_weight_, w.output_weight, groups, columns, "output_weight");
    weights.add(output_bias_, w.output_bias, columns, "output_bias");
    weights.add(norm1_weight_, w.norm1_weight, columns, "norm1_weight");
    weights.add(norm1_bias_, w.norm1_bias, columns, "norm1_bias");
    weights.add(hidden_weight_, w.hidden_weight, columns, hidden, "hidden_weight");
    weights.add(hidden_bias_, w.hidden_bias, hidden, "hidden_bias");
    weights.add(feedforward_weight_, w.feedforward_weight, hidden, columns, "feedforward_weight");
    weights.add(feedforward_bias_, w.feedforward_bias, columns, "feedforward_bias");
    weights.add(norm2_weight_, w.norm2_weight, columns, "norm2_weight");
    weights.add(norm2_bias_, w.norm2_bias, columns, "norm2_bias");
    memory_ = weights.upload(gpu);
}

void mmkg_gpu_token_table::encode(const Batch &batch, Stream stream) const {
    const int64_t entity_bytes = (2 * widths_.padded + widths_.padded / kGroup) * kFloatBytes;
    // A multiple of the rows of every tile, whose blocks write all of theirs; so, too, every block of each input begins
    // where a kernel may read.
    const int64_t together = std::min(padded_to(batch.size, kTileRows), rows_together(gpu, entity_bytes, kTileRows));
    Workspace workspace(gpu, Workspace::rounded(together * entity_bytes), stream);
    const Address start = workspace.take(together * entity_bytes);
    for (int64_t first = 0; first < batch.size; first += together)
        encode_block(batch, first, std::min(together, batch.size - first), start, stream);
}

void mmkg_gpu_token_table::encode_block(const Batch &batch, int64_t first, int64_t count, Address workspace,
                                        Stream stream) const {
    const auto at = [&](Address start, int64_t bytes) { return start + static_cast<Address>(first * bytes); };
    const Address plane = static_cast<Address>(padded_to(count, kTileRows) * widths_.padded * kFloatBytes);
    const Kernel &kernel = kernel_.of(count);
    kernel.launch({ceil_div(count, kernel.constant("ROWS"))},
                  Arguments()
                      .address(at(batch.structure, widths_.width * kFloatBytes))
                      .address(at(batch.visual_tokens, batch.num_visual_tokens * 8))
                      .address(at(batch.visual_mask, batch.num_visual_tokens))
                      .address(at(batch.text_tokens, batch.num_text_tokens * 8))
                      .address(at(batch.text_mask, batch.num_text_tokens))
                      .address(structure_norm_weight_)
                      .address(structure_norm_bias_)
                      .address(type_vector_)
                      .address(logit_weight_)
                      .address(pooled_logits_)
                      .address(pooled_value_)
                      .address(logits_)
                      .address(values_)
                      .address(value_weight_)
                      .address(value_bias_)
                      .address(output_weight_)
                      .address(output_bias_)
                      .address(pooled_)
                      .address(norm1_weight_)
                      .address(norm1_bias_)
                      .address(hidden_weight_)
                      .address(hidden_bias_)
                      .address(feedforward_weight_)
                      .address(feedforward_bias_)
                      .address(norm2_weight_)
                      .address(norm2_bias_)
                      .address(workspace)
                      .address(workspace + plane)
                      .address(workspace + 2 * plane)
                      .address(at(batch.vectors, widths_.width * kFloatBytes))
                      .integer(count)
                      .integer(widths_.width)
                      .integer(widths_.heads)
                      .integer(widths_.groups_per_head)
                      .integer(batch.num_visual_tokens)
                      .integer(batch.num_text_tokens)
                      .integer(visual_rows_)
                      .integer(text_rows_)
                      .integer(widths_.padded_hidden / kernel.constant("CHUNK"))
                      .number(epsilon_),
                  stream);
}

mmkg_status mmkg_gpu_token_table_open(mmkg_gpu *gpu, const mmkg_token_table_weights *weights, int32_t storage,
                                      mmkg_gpu_token_table **encoder) {
    return on_gpu(gpu, [&] {
        require(encoder, "encoder is NULL");
        require(weights, "weights is NULL");
        mmkg::require_sizes(*weights);
        require(storage == MMKG_FLOAT32 || storage == MMKG_BFLOAT16, "storage is none of mmkg_storage");
        *encoder = new mmkg_gpu_token_table(*gpu, *weights, storage);
    });
}

void mmkg_gpu_token_table_close(mmkg_gpu_token_table *encoder) { delete encoder; }

mmkg_status mmkg_gpu_token_table_encode(const mmkg_gpu_token_table *encoder, int64_t batch, uint64_t structure,
                                        uint64_t visual_tokens, uint64_t visual_mask, int64_t num_visual_tokens,
                                        uint64_t text_tokens, uint64_t text_mask, int64_t num_text_tokens,
                                        uint64_t vectors, uint64_t stream) {
    return on_gpu_of(encoder, "encoder is NULL", [&] {
        require(batch >= 0 && batch <= INT32_MAX, "batch is negative or above 2^31 - 1");
        require((structure && vectors) || batch == 0, "structure or vectors is NULL");
        require(num_visual_tokens >= 0 && num_visual_tokens <= MMKG_MAX_TOKENS && num_text_tokens >= 0 &&
                    num_text_tokens <= MMKG_MAX_TOKENS,
                "a number of tokens is not from 0 to 2^20");
        require(((visual_tokens && visual_mask) || num_visual_tokens == 0 || batch == 0) &&
                    ((text_tokens && text_mask) || num_text_tokens == 0 || batch == 0),
                "tokens or a mask are NULL");
        if (batch == 0) return;
        encoder->encode({batch, num_visual_tokens, num_text_tokens, structure, visual_tokens, visual_mask, text_tokens,
                         text_mask, vectors},
                        stream_of(stream));
    });
}
