/*
 * mmkg_link.h: scores of mentions and entities by MIMIC's late interaction, on a CPU. Plain C; status and threads are
 * those of mmkg.h.
 *
 * Both sides come as the pieces that the graphs `mention_side` and `entity_side` make of them; what is computed is the
 * graph `interaction`. For one mention and one entity, L = length, e = norm_epsilon:
 *
 *   text        half the sum of the inner product of both `text`, and of < cls, norm(a @ values) >, where a [L] is the
 *               mean over the entity's L positions of softmax(queries @ keys^T) [L, L], and
 *               norm(x) = (x - mean) / sqrt(variance + e) * context_weight + context_bias
 *   image       half the sum of two DUAL scores: entity's query with mention's key (by_entity), and the other way round
 *               (by_mention)
 *   image_text  the inner product of both `fused`
 *
 *   DUAL, of a key (z, a, k) and a query (q, c, h), vectors [d] each; w = h * scale:
 *     r = 1 / sqrt(|z + q|^2 + e),  t = tanh(r <to_gate, z + q> + gate_offset),  x = t r (a + c) + t context + k
 *     score = <x, w> / sqrt(|x|^2 + e) + <shift, h>
 *   (<to_gate, z + q> is a sum of two numbers; |context|^2 is given as context_square.)
 *
 * The logits of one mention and a few entities at a time exist, in the first cache; nothing of the size
 * mentions x entities x L x L does. The scores of a pair depend on that pair alone, to the bit: not on the other
 * mentions and entities, nor on threads. As to processors see mmkg.h.
 *
 * Logits in int16 (MMKG_LOGITS_INT16): queries of each entity and keys of each mention lose the mean of their
 * positions, are rounded to 16 bits with a unit for each query and for the keys of each mention, so that no sum of
 * products leaves 32 bits, and are multiplied exactly; <mean of queries, key> is added in float32 (the mean of the keys
 * moves all logits of a softmax alike). That takes a third less time than float32 and changes text scores by about 3e-6
 * of their root mean square; keeping the entities in half precision changes them by 2e-4.
 */
#ifndef MMKG_LINK_H
#define MMKG_LINK_H

#include "mmkg.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MMKG_MAX_TEXT_LENGTH ((int64_t)1 << 10)
#define MMKG_MAX_UNIT_WIDTH ((int64_t)1 << 12)
#define MMKG_MAX_MENTIONS ((int64_t)1 << 20)

typedef enum mmkg_entity_dtype { MMKG_ENTITY_FLOAT32 = 0, MMKG_ENTITY_FLOAT16 = 1 } mmkg_entity_dtype;
typedef enum mmkg_logits { MMKG_LOGITS_FLOAT32 = 0, MMKG_LOGITS_INT16 = 1 } mmkg_logits;

/* Of one DUAL; the vectors have image_unit_width numbers. */
typedef struct mmkg_dual_weights {
    const float *to_gate, *context, *scale, *shift;
    float gate_offset, context_square;
} mmkg_dual_weights;

/* Sizes and weights, float32, finite. Read while opening, and no longer. */
typedef struct mmkg_interaction_weights {
    int64_t length, text_unit_width, text_width, image_unit_width, cross_modal_unit_width;
    float norm_epsilon;                           /* above 0 */
    const float *context_weight, *context_bias;   /* [text_unit_width] */
    mmkg_dual_weights by_entity, by_mention;
} mmkg_interaction_weights;

/* float32 [mentions, ...], C-contiguous. Keys are divided by sqrt(text_unit_width) already. */
typedef struct mmkg_mention_pieces {
    const float *keys, *values; /* [length, text_unit_width] */
    const float *text;          /* [text_width] */
    const float *dual_key;      /* [3, image_unit_width]: z, a, k of by_entity */
    const float *dual_query;    /* [3, image_unit_width]: q, c, h of by_mention */
    const float *fused;         /* [cross_modal_unit_width] */
} mmkg_mention_pieces;

/* float32 or float16 (IEEE binary16) [entities, ...], C-contiguous. */
typedef struct mmkg_entity_pieces {
    const void *queries;    /* [length, text_unit_width] */
    const void *cls;        /* [text_unit_width] */
    const void *text;       /* [text_width] */
    const void *dual_query; /* [3, image_unit_width]: q, c, h of by_entity */
    const void *dual_key;   /* [3, image_unit_width]: z, a, k of by_mention */
    const void *fused;      /* [cross_modal_unit_width] */
} mmkg_entity_pieces;

typedef struct mmkg_interaction mmkg_interaction;

/*
 * Copies the weights. The pool must stay until the interaction is closed.
 *
 *   entity_dtype      one of mmkg_entity_dtype
 *   logits            one of mmkg_logits
 *   instruction_set   as in mmkg_scan_open; MMKG_AVX512 stands for MMKG_AVX2, MMKG_AVX512_BF16 for
 *                     MMKG_AVX512_VNNI
 */
MMKG_API mmkg_status mmkg_interaction_open(const mmkg_interaction_weights *weights, int32_t entity_dtype,
                                           int32_t logits, int32_t instruction_set, mmkg_pool *pool,
                                           mmkg_interaction **interaction);
MMKG_API void mmkg_interaction_close(mmkg_interaction *interaction); /* NULL is allowed */
MMKG_API int32_t mmkg_interaction_instruction_set(const mmkg_interaction *interaction);

/*
 * The scores of every mention with every candidate. The entities are read where they are. Memory beside the arguments,
 * at the published widths: 0.5 MiB a thread, and 0.7 MiB for up to 16 mentions at a time, whatever their number.
 *
 *   candidates                int64 [num_candidates], rows of the entities in any order; NULL: all of them in theirs
 *                             (num_candidates is ignored)
 *   text, image, image_text   float32 [num_mentions, candidates], written; in part, if it fails
 *
 * MMKG_NAN: a score is NaN or infinite, because a piece is, or is too large for float32.
 */
MMKG_API mmkg_status mmkg_interaction_scores(const mmkg_interaction *interaction, const mmkg_mention_pieces *mentions,
                                             int64_t num_mentions, const mmkg_entity_pieces *entities,
                                             int64_t num_entities, const int64_t *candidates, int64_t num_candidates,
                                             float *text, float *image, float *image_text);

#ifdef __cplusplus
}
#endif

#endif
