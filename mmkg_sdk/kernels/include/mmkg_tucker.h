/*
 * mmkg_tucker.h: the Tucker product of two vectors with a core, on a CPU. Plain C; handles, status and threads are
 * those of mmkg.h.
 *
 *   out[o] = sum over i and j of relation[i] * context[j] * core[i, j, o]
 *            + sum over i of relation[i] * relation_weight[i, o] + shift[o]
 *
 * Weights are float32, bfloat16 or float16, each used as the float32 number that it is; vectors and sums are float32.
 * Every sum has one order, whatever the batch, the place in it and the threads: a row of `out` depends on its context
 * and relation alone, to the bit. As to processors see mmkg.h.
 */
#ifndef MMKG_TUCKER_H
#define MMKG_TUCKER_H

#include "mmkg.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MMKG_MAX_TUCKER_WIDTH ((int64_t)1 << 14)

/* How weights are stored; two bytes a number except float32. */
typedef enum mmkg_precision { MMKG_FP32 = 0, MMKG_BF16 = 1, MMKG_FP16 = 2 } mmkg_precision;

typedef struct mmkg_tucker mmkg_tucker;

/*
 * The core is read where it is, for example in a memory-mapped file: it must stay, unchanged, until the handle is
 * closed. So must the pool. What is kept beside it: the last slice of the core, relation_weight and shift. Opening
 * reads all of the core once, to refuse what is not finite.
 *
 *   core              [width, width, width] in `precision`, C-contiguous, finite
 *   precision         one of mmkg_precision
 *   relation_weight   [width, width] in `precision`, finite
 *   shift             float32 [width], finite
 *   width             1 to MMKG_MAX_TUCKER_WIDTH
 *   instruction_set   as in mmkg_scan_open; MMKG_AVX512_BF16 stands for MMKG_AVX512
 */
MMKG_API mmkg_status mmkg_tucker_open(const void *core, int32_t precision, const void *relation_weight,
                                      const float *shift, int64_t width, int32_t instruction_set, mmkg_pool *pool,
                                      mmkg_tucker **tucker);
MMKG_API void mmkg_tucker_close(mmkg_tucker *tucker); /* NULL is allowed */
MMKG_API int32_t mmkg_tucker_instruction_set(const mmkg_tucker *tucker);

/*
 * The products of some pairs of vectors. Up to 192 of them take one pass over the core. Memory beside the arguments: 33
 * copies of `out`, for at most 192 rows of it. The handle keeps them for later calls, once for each of up to 16 threads
 * that called at the same time.
 *
 *   context, relation   float32 [batch, width], finite
 *   out                 float32 [batch, width], written; in part, if it fails; no part of context or relation
 *
 * MMKG_BAD_ARGUMENT names a row that is not finite; MMKG_NAN means that float32 was too small for a product.
 */
MMKG_API mmkg_status mmkg_tucker_apply(const mmkg_tucker *tucker, const float *context, const float *relation,
                                       int64_t batch, float *out);

#ifdef __cplusplus
}
#endif

#endif
