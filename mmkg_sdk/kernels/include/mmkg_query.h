/*
 * mmkg_query.h: from the ids of a question to its vector, on a CPU: what a transformer makes of them, or a rotation.
 * Plain C; handles, status and threads are those of mmkg.h.
 *
 * A question names an entity e, a relation r and what is missing (direction 0: the tail, 1: the head).
 *
 * For the transformer it becomes a sequence of three tokens, the known entity, the relation and the missing entity. The
 * layers have their norms behind the sums, and the last two positions are read. For one question, all in float32:
 *
 *   x = [table[e] + known_slots[direction], relations[r], missing_slots[direction]]
 *   for each layer:
 *     query, key, value = x @ query_weight + query_bias, x @ key_weight + key_bias, x @ value_weight + value_bias
 *     attended[i]       = sum over j of softmax_j(query[i] . key[j] / sqrt(width / heads)) * value[j], per head of
 *                         width / heads columns
 *     y                 = norm(x + attended @ output_weight + output_bias; norm1)
 *     x                 = norm(y + relu(y @ hidden_weight + hidden_bias) @ feedforward_weight + feedforward_bias;
 *                         norm2)
 *   relation, context = x[1], x[2]
 *   norm(x)           = (x - mean) / sqrt(variance + norm_epsilon) * weight + bias
 *
 * Every sum has one order, whatever the batch, the place in it and the threads: what a question gives depends on that
 * question alone, to the bit. As to processors see mmkg.h.
 */
#ifndef MMKG_QUERY_H
#define MMKG_QUERY_H

#include "mmkg_encoder.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MMKG_MAX_QUERY_LAYERS 1024

/* Float32, finite, C-contiguous; matrices are [in, out]. */
typedef struct mmkg_query_layer {
    const float *query_weight, *query_bias;             /* [width, width], [width] */
    const float *key_weight, *key_bias;                 /* likewise */
    const float *value_weight, *value_bias;             /* likewise */
    const float *output_weight, *output_bias;           /* likewise */
    const float *norm1_weight, *norm1_bias;             /* [width] */
    const float *hidden_weight, *hidden_bias;           /* [width, feedforward_width], [feedforward_width] */
    const float *feedforward_weight, *feedforward_bias; /* [feedforward_width, width], [width] */
    const float *norm2_weight, *norm2_bias;             /* [width] */
} mmkg_query_layer;

/* Sizes and weights; read while opening, and no longer. */
typedef struct mmkg_query_weights {
    int64_t width;             /* of a vector, a multiple of heads; 1 to MMKG_MAX_ENCODER_WIDTH */
    int64_t heads;
    int64_t feedforward_width; /* 1 to MMKG_MAX_FEEDFORWARD_WIDTH */
    int64_t num_relations;     /* 1 to MMKG_MAX_ROWS */
    int64_t num_layers;        /* 1 to MMKG_MAX_QUERY_LAYERS */
    float norm_epsilon;        /* at least 0 */

    const float *known_slots, *missing_slots; /* [2, width], by direction */
    const float *relations;                   /* [num_relations, width] */
    const mmkg_query_layer *layers;           /* [num_layers] */
} mmkg_query_weights;

typedef struct mmkg_query_context mmkg_query_context;

/*
 * Copies and packs the weights. The pool must stay until the handle is closed.
 *
 *   instruction_set   as in mmkg_scan_open; MMKG_AVX512_BF16 stands for MMKG_AVX512
 */
MMKG_API mmkg_status mmkg_query_context_open(const mmkg_query_weights *weights, int32_t instruction_set,
                                             mmkg_pool *pool, mmkg_query_context **encoder);
MMKG_API void mmkg_query_context_close(mmkg_query_context *encoder); /* NULL is allowed */
MMKG_API int32_t mmkg_query_context_instruction_set(const mmkg_query_context *encoder);

/*
 * What the transformer makes of some questions. Memory beside the arguments: under 1 MiB a thread at the usual widths,
 * whatever the batch.
 *
 *   table                           float32 [rows, width], the entities
 *   entities, relations, directions int64 [batch]: a row of the table, a relation, 0 or 1
 *   context, relation               float32 [batch, width], written; in part, if it fails
 *
 * MMKG_BAD_ARGUMENT names a question with an id out of range; MMKG_NAN means that a row of the table is not finite, or
 * float32 too small for what the weights make of it.
 */
MMKG_API mmkg_status mmkg_query_context_encode(const mmkg_query_context *encoder, const float *table, int64_t rows,
                                               int64_t batch, const int64_t *entities, const int64_t *relations,
                                               const int64_t *directions, float *context, float *relation);

/*
 * The known entity of some questions, rotated by the relation: forwards where the tail is asked for, back where the
 * head is. Vectors are complex, real parts first, then the imaginary ones. With s = sine for direction 0, -sine for 1:
 *
 *   queries.re = entity.re * cosine - entity.im * s
 *   queries.im = entity.re * s + entity.im * cosine
 *
 * Each product and each sum is rounded once, so every processor gives the same bits, MMKG_PORTABLE included.
 *
 *   table                       float32 [rows, width], the entities; rows 1 to MMKG_MAX_ROWS
 *   width                       even, 2 to MMKG_MAX_WIDTH
 *   rotations                   float32 [relations, width]: cosines, then sines; relations 1 to MMKG_MAX_ROWS
 *   entity, relation, direction int64 [batch]: a row of the table, a relation, 0 or 1
 *   queries                     float32 [batch, width], written; in part, if it fails; no part of table or rotations
 *
 * MMKG_BAD_ARGUMENT names a question with an id out of range; MMKG_NAN means that a row of table or rotations is not
 * finite, or float32 too small for a product.
 */
MMKG_API mmkg_status mmkg_rotation_apply(const float *table, int64_t rows, int64_t width, const float *rotations,
                                         int64_t relations, const int64_t *entity, const int64_t *relation,
                                         const int64_t *direction, int64_t batch, float *queries);

#ifdef __cplusplus
}
#endif

#endif
