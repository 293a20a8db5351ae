/*
 * mmkg_encoder.h: entity encoders on a CPU. Plain C; handles, status and threads are those of mmkg.h.
 *
 * The token-table encoder is one transformer layer over the sequence (pooled token, structural token, visual tokens,
 * text tokens) of an entity, of which only the pooled position is read. Its query is a constant, and logits and values
 * of the visual and text tokens are tabulated, so a token costs a look-up and its share of a softmax and a weighted
 * sum.
 * For one entity, heads h, all in float32:
 *
 *   s        = norm(structure; structure_norm) + type_vector
 *   logits   = pooled_logits, s @ logit_weight, logits[row] for every token that is not masked
 *   weights  = softmax of the logits, per head
 *   context  = the weighted sum of pooled_value, s @ value_weight + value_bias, values[row]; each head has
 *              width / heads columns
 *   x        = norm(pooled + context @ output_weight + output_bias; norm1)
 *   vector   = norm(x + relu(x @ hidden_weight + hidden_bias) @ feedforward_weight + feedforward_bias; norm2)
 *   norm(x)  = (x - mean) / sqrt(variance + norm_epsilon) * weight + bias
 *
 * A text token t is row visual_rows + t. Every sum has one order, whatever the batch, the place in it and the threads,
 * and a masked token leaves no trace: the vector of an entity depends on that entity alone, to the bit. As to
 * processors see mmkg.h; the rounding is below 1e-5 of the root mean square.
 */
#ifndef MMKG_ENCODER_H
#define MMKG_ENCODER_H

#include "mmkg.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MMKG_MAX_ENCODER_WIDTH ((int64_t)1 << 14)
#define MMKG_MAX_FEEDFORWARD_WIDTH ((int64_t)1 << 16)
#define MMKG_MAX_TOKENS ((int64_t)1 << 20)

/* Sizes and weights, float32, finite, C-contiguous; matrices are [in, out]. Read while opening, and no longer. */
typedef struct mmkg_token_table_weights {
    int64_t width;             /* of a vector, a multiple of heads */
    int64_t heads;
    int64_t feedforward_width;
    int64_t visual_rows, text_rows;
    float norm_epsilon;        /* at least 0 */

    const float *structure_norm_weight, *structure_norm_bias, *type_vector; /* [width] */
    const float *logit_weight;                                              /* [width, heads] */
    const float *logits;                                                    /* [visual_rows + text_rows, heads] */
    const float *values;                                                    /* [visual_rows + text_rows, width] */
    const float *value_weight, *value_bias;                                 /* [width, width], [width] */
    const float *pooled, *pooled_logits, *pooled_value;                     /* [width], [heads], [width] */
    const float *output_weight, *output_bias;                               /* [width, width], [width] */
    const float *norm1_weight, *norm1_bias;                                 /* [width] */
    const float *hidden_weight, *hidden_bias;           /* [width, feedforward_width], [feedforward_width] */
    const float *feedforward_weight, *feedforward_bias; /* [feedforward_width, width], [width] */
    const float *norm2_weight, *norm2_bias;             /* [width] */
} mmkg_token_table_weights;

typedef struct mmkg_token_table mmkg_token_table;

/*
 * Copies and packs the weights. The pool must stay until the encoder is closed.
 *
 *   storage           how values of tokens are kept: MMKG_FLOAT32, as they are, or MMKG_BFLOAT16, rounded to 8 bits of
 *                     mantissa in half the memory, on any instruction set; that changes the vectors
 *   instruction_set   as in mmkg_scan_open; those above MMKG_AVX512 stand for it
 */
MMKG_API mmkg_status mmkg_token_table_open(const mmkg_token_table_weights *weights, int32_t storage,
                                           int32_t instruction_set, mmkg_pool *pool, mmkg_token_table **encoder);
MMKG_API void mmkg_token_table_close(mmkg_token_table *encoder); /* NULL is allowed */
MMKG_API int32_t mmkg_token_table_instruction_set(const mmkg_token_table *encoder);

/*
 * The vectors of some entities. Memory beside the arguments, at the usual widths: 1 MiB a thread for few tokens, 5 MiB
 * for 512, whatever the batch.
 *
 *   structure                      float32 [batch, width], finite
 *   visual_tokens, text_tokens     int64 [batch, num_..._tokens], rows of each codebook, masked ones included
 *   visual_mask, text_mask         one byte each, 0 or else: masked; NULL: none is masked
 *   num_visual_tokens, num_text_tokens   0 to MMKG_MAX_TOKENS
 *   vectors                        float32 [batch, width], written; in part, if it fails
 *
 * MMKG_BAD_ARGUMENT names an entity whose structure is not finite or whose token is no row; MMKG_NAN means that float32
 * was too small for what the weights make of an entity.
 */
MMKG_API mmkg_status mmkg_token_table_encode(const mmkg_token_table *encoder, int64_t batch, const float *structure,
                                             const int64_t *visual_tokens, const uint8_t *visual_mask,
                                             int64_t num_visual_tokens, const int64_t *text_tokens,
                                             const uint8_t *text_mask, int64_t num_text_tokens, float *vectors);

#ifdef __cplusplus
}
#endif

#endif
