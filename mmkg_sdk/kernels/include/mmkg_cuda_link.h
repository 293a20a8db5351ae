/*
 * mmkg_cuda_link.h: scores of mentions and entities by MIMIC's late interaction on a GPU. What is computed, and what the
 * pieces are, is in mmkg_link.h. Here the pieces lie in memory of the GPU.
 *
 * Not the bits of the CPU: sums are float32 in another order. Logits of float16 entities take the keys as a sum of two
 * float16, which errs by 2^-23 of a mention's largest key; those of float32 entities, and the mean attention times the
 * values, are made of three TF32 products each, good to about 2^-21 of the product of the lengths. A pair's scores come
 * of the same operations in the same order wherever it stands.
 *
 * NOT RUN ON A GPU YET; see mmkg_cuda.h.
 */
#ifndef MMKG_CUDA_LINK_H
#define MMKG_CUDA_LINK_H

#include "mmkg_cuda.h"
#include "mmkg_link.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The largest length that there is a kernel for. */
#define MMKG_MAX_GPU_TEXT_LENGTH ((int64_t)128)

typedef struct mmkg_gpu_interaction mmkg_gpu_interaction;

/* Addresses on the GPU, multiples of 16 bytes, of what mmkg_mention_pieces has. */
typedef struct mmkg_gpu_mention_pieces {
    uint64_t keys, values, text, dual_key, dual_query, fused; /* float32 */
} mmkg_gpu_mention_pieces;

/*
 * Likewise of mmkg_entity_pieces, but for queries: [length, text_unit_width rounded up to a multiple of 32], with zeros
 * past the width.
 */
typedef struct mmkg_gpu_entity_pieces {
    uint64_t queries, cls, text, dual_query, dual_key, fused; /* float32 or float16 */
} mmkg_gpu_entity_pieces;

/*
 * Copies the weights to the GPU, and loads the kernels. Waits for it. Lengths above MMKG_MAX_GPU_TEXT_LENGTH are
 * MMKG_BAD_ARGUMENT.
 */
MMKG_API mmkg_status mmkg_gpu_interaction_open(mmkg_gpu *gpu, const mmkg_interaction_weights *weights,
                                               int32_t entity_dtype, mmkg_gpu_interaction **interaction);
MMKG_API void mmkg_gpu_interaction_close(mmkg_gpu_interaction *interaction); /* before its GPU; NULL is allowed */

/*
 * The scores of every mention with every candidate; waits for the stream.
 *
 *   mentions     addresses of the host, as of mmkg_interaction_scores
 *   entities     addresses of the GPU, where they stay from call to call
 *   candidates   int64 [num_candidates] on the host, rows of the entities in any order; NULL: all of them in theirs
 *                (num_candidates is ignored)
 *   text, image, image_text   float32 [num_mentions, candidates] on the host, written; as they were, if it fails
 *
 * MMKG_NAN: a score is NaN or infinite, because a piece is, or is too large for float32.
 */
MMKG_API mmkg_status mmkg_gpu_interaction_scores(const mmkg_gpu_interaction *interaction,
                                                 const mmkg_mention_pieces *mentions, int64_t num_mentions,
                                                 const mmkg_gpu_entity_pieces *entities, int64_t num_entities,
                                                 const int64_t *candidates, int64_t num_candidates, float *text,
                                                 float *image, float *image_text, uint64_t stream);

/*
 * Those candidates that are among the k best of some mention by the mean of its three scores, (text + image +
 * image_text) / 3, of equal ones the first; and the scores of every mention with each of them. All others stay on the
 * GPU, and the mentions are brought there once. Waits for the stream. It works in 12 bytes for each score.
 *
 *   k        1 to the number of candidates
 *   places   int32 on the host, `chosen` of them written, ascending: places among the candidates, which are rows of the
 *            entities where there are none. Room for num_mentions * k, or for all candidates if these are fewer
 *   chosen   how many there are; 0, if it fails
 *   text, image, image_text   float32 [num_mentions, chosen] on the host, written; with room for as many places
 *
 * What is wrong is as with mmkg_gpu_interaction_scores.
 */
MMKG_API mmkg_status mmkg_gpu_interaction_best(const mmkg_gpu_interaction *interaction,
                                               const mmkg_mention_pieces *mentions, int64_t num_mentions,
                                               const mmkg_gpu_entity_pieces *entities, int64_t num_entities,
                                               const int64_t *candidates, int64_t num_candidates, int64_t k,
                                               int32_t *places, int64_t *chosen, float *text, float *image,
                                               float *image_text, uint64_t stream);

/*
 * Where an entity stands among all by the same mean: 1 + those that are better + equal ones of a lower row.
 *
 *   targets   int64 [num_mentions] on the host, rows of the entities
 *   ranks     int32 [num_mentions] on the host, written
 */
MMKG_API mmkg_status mmkg_gpu_interaction_ranks(const mmkg_gpu_interaction *interaction,
                                                const mmkg_mention_pieces *mentions, int64_t num_mentions,
                                                const mmkg_gpu_entity_pieces *entities, int64_t num_entities,
                                                const int64_t *targets, int32_t *ranks, uint64_t stream);

/*
 * The same with everything on the GPU: put on the stream and not waited for, so that it can be captured. There is one
 * mention at least, and one candidate. All addresses are multiples of 16 bytes.
 *
 *   candidates   0: all entities. Else an address; a row that there is not reads memory of others
 *   wrong        address of int32 [1], written: 1 where mmkg_gpu_interaction_scores gives MMKG_NAN, else 0
 *
 * It works in 4 bytes for each number of a mention's keys, with their length rounded up to 64 or 128 and their width to a
 * multiple of 32: 24 KiB a mention at the published sizes.
 */
MMKG_API mmkg_status mmkg_gpu_interaction_launch(const mmkg_gpu_interaction *interaction,
                                                 const mmkg_gpu_mention_pieces *mentions, int64_t num_mentions,
                                                 const mmkg_gpu_entity_pieces *entities, int64_t num_entities,
                                                 uint64_t candidates, int64_t num_candidates, uint64_t text,
                                                 uint64_t image, uint64_t image_text, uint64_t wrong, uint64_t stream);

#ifdef __cplusplus
}
#endif

#endif
