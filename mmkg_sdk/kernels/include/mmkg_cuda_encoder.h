/*
 * mmkg_cuda_encoder.h: encoders on a GPU. What they compute, and their weights, are those of mmkg_tucker.h,
 * mmkg_encoder.h and mmkg_query.h.
 *
 * NOT RUN ON A GPU YET; see mmkg_cuda.h.
 *
 * Sums are float32. Operands of a product of float32 are taken apart so that no more than about 2^-21 of it is lost
 * ("3 x TF32", never TF32). What a row gives depends on that row, the GPU, and which of a few kernels suits the size of
 * the batch (of queries: of mmkg_gpu_padded_batch). Opening copies the weights, which may go then, and waits. The GPU
 * must stay open until what was opened on it is closed.
 *
 * Addresses of arguments are those of GPU memory, C-contiguous, multiples of 16. Their contents are not checked: what
 * is not finite, no row of a table or of a codebook, or too large for float32, makes NaN or infinity of the entity or
 * question that it belongs to, and of no other; nothing outside the arguments is read.
 *
 * Memory beside the arguments, in the order of the stream: about half of the GPU's second-level cache, whatever the
 * batch, or what 16 to 128 rows need.
 */
#ifndef MMKG_CUDA_ENCODER_H
#define MMKG_CUDA_ENCODER_H

#include "mmkg_cuda.h"
#include "mmkg_query.h"
#include "mmkg_tucker.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mmkg_gpu_tucker mmkg_gpu_tucker;

/* As mmkg_tucker_open. A bfloat16 core is multiplied with the context as two bfloat16 numbers, 2^-16 of it is lost. */
MMKG_API mmkg_status mmkg_gpu_tucker_open(mmkg_gpu *gpu, const void *core, int32_t precision,
                                          const void *relation_weight, const float *shift, int64_t width,
                                          mmkg_gpu_tucker **tucker);
MMKG_API void mmkg_gpu_tucker_close(mmkg_gpu_tucker *tucker); /* NULL is allowed */

/* As mmkg_tucker_apply. */
MMKG_API mmkg_status mmkg_gpu_tucker_apply(const mmkg_gpu_tucker *tucker, uint64_t context, uint64_t relation,
                                           int64_t batch, uint64_t out, uint64_t stream);

typedef struct mmkg_gpu_token_table mmkg_gpu_token_table;

/* As mmkg_token_table_open; up to 512 columns, with every head padded to a multiple of 64. */
MMKG_API mmkg_status mmkg_gpu_token_table_open(mmkg_gpu *gpu, const mmkg_token_table_weights *weights, int32_t storage,
                                               mmkg_gpu_token_table **encoder);
MMKG_API void mmkg_gpu_token_table_close(mmkg_gpu_token_table *encoder); /* NULL is allowed */

/* As mmkg_token_table_encode, but masks are never NULL where there are tokens, and masked tokens need be no rows. */
MMKG_API mmkg_status mmkg_gpu_token_table_encode(const mmkg_gpu_token_table *encoder, int64_t batch, uint64_t structure,
                                                 uint64_t visual_tokens, uint64_t visual_mask,
                                                 int64_t num_visual_tokens, uint64_t text_tokens, uint64_t text_mask,
                                                 int64_t num_text_tokens, uint64_t vectors, uint64_t stream);

typedef struct mmkg_gpu_query_context mmkg_gpu_query_context;

/* As mmkg_query_context_open; up to 512 columns, with every head padded to a multiple of 64. */
MMKG_API mmkg_status mmkg_gpu_query_context_open(mmkg_gpu *gpu, const mmkg_query_weights *weights,
                                                 mmkg_gpu_query_context **encoder);
MMKG_API void mmkg_gpu_query_context_close(mmkg_gpu_query_context *encoder); /* NULL is allowed */

/* As mmkg_query_context_encode. */
MMKG_API mmkg_status mmkg_gpu_query_context_encode(const mmkg_gpu_query_context *encoder, uint64_t table, int64_t rows,
                                                   int64_t batch, uint64_t entities, uint64_t relations,
                                                   uint64_t directions, uint64_t context, uint64_t relation,
                                                   uint64_t stream);

/*
 * The size that kernels for queries are chosen for: the smallest of 1, 16, 64 and 256 that the batch goes into, and
 * above it the batch itself. A batch that is filled up to it with queries of any kind gives its own the same bits.
 */
MMKG_API int64_t mmkg_gpu_padded_batch(int64_t batch);

/*
 * The query vectors of some questions: the product that `tucker` makes of context and relation, or the context where it
 * is NULL. Memory beside the arguments: twice the above, and two vectors and three ids a question. With ids on the GPU
 * nothing is waited for, so that it can be captured.
 *
 *   tucker                            of the same width and GPU
 *   stride                            numbers from one row of the table to the next, the width or more, and not above
 *                                     the columns of a vector on the GPU; those behind the width are zeros, as
 *                                     mmkg_gpu_scan_rows gives them
 *   entities, relations, directions   as of mmkg_gpu_query_context_encode; of the host or the GPU, as `place` says.
 *                                     Those of the host are checked, and have been read when this returns.
 *   vectors                           float32 [batch, width] on the GPU, written
 */
MMKG_API mmkg_status mmkg_gpu_query_vectors(const mmkg_gpu_query_context *encoder, const mmkg_gpu_tucker *tucker,
                                            uint64_t table, int64_t rows, int64_t stride, int64_t batch,
                                            uint64_t entities, uint64_t relations, uint64_t directions, int32_t place,
                                            uint64_t vectors, uint64_t stream);

typedef struct mmkg_gpu_rotation mmkg_gpu_rotation;

/* Copies rotations, float32 [relations, width] of the host as of mmkg_rotation_apply, finite. */
MMKG_API mmkg_status mmkg_gpu_rotation_open(mmkg_gpu *gpu, const float *rotations, int64_t relations, int64_t width,
                                            mmkg_gpu_rotation **rotation);
MMKG_API void mmkg_gpu_rotation_close(mmkg_gpu_rotation *rotation); /* NULL is allowed */

/*
 * As mmkg_rotation_apply, with its bits: no product is taken apart, and nothing is fused. Memory beside the arguments:
 * three ids a question of the host. With ids on the GPU nothing is waited for, so that it can be captured.
 *
 *   stride                            numbers from one row of the table to the next: the width to MMKG_MAX_WIDTH
 *   entities, relations, directions   as of mmkg_gpu_query_vectors
 *   queries                           float32 [batch, width] on the GPU, written
 */
MMKG_API mmkg_status mmkg_gpu_rotation_apply(const mmkg_gpu_rotation *rotation, uint64_t table, int64_t rows,
                                             int64_t stride, int64_t batch, uint64_t entities, uint64_t relations,
                                             uint64_t directions, int32_t place, uint64_t queries, uint64_t stream);

#ifdef __cplusplus
}
#endif

#endif
