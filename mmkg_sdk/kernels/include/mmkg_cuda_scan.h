/*
 * mmkg_cuda_scan.h: exact ranking of a table of vectors on a GPU. Answers are those of mmkg.h's mmkg_top_k and
 * mmkg_ranks, to the bit. Inner products: a first pass over a copy of the table in bfloat16 bounds the scores, the
 * rows that it cannot rule out get their canonical float32 score, and every query comes with a certificate that none
 * was missed. Queries without one are answered again, with more rows settled, then with canonical scores of all rows.
 * Distances, whose square roots take longer than reading the table, get canonical scores of all rows from the start.
 *
 * NOT RUN ON A GPU YET; see mmkg_cuda.h.
 */
#ifndef MMKG_CUDA_SCAN_H
#define MMKG_CUDA_SCAN_H

#include "mmkg_cuda.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The largest k that there is a kernel for. */
#define MMKG_MAX_GPU_K ((int64_t)1024)

/*
 * GPU memory that a call works in, at most, unless a single query needs more: larger batches are answered in parts.
 * It comes from a pool of the GPU's handle and stays there for the next call. For a table of N rows a query takes
 * about N / 4 bytes for top-k and N / 4 for ranks, and 136 bytes for each bin of 16 rows that is settled
 * (cuda/launch/ranking/top_k.cpp says how many).
 */
#define MMKG_GPU_WORKSPACE ((int64_t)1 << 30)

typedef struct mmkg_gpu_scan mmkg_gpu_scan; /* a table on a GPU */

/*
 * A table, float32 [rows, width] in memory of the host, is copied to the GPU. Waits for it.
 *
 *   score    one of mmkg_score. For MMKG_INNER_PRODUCT there are two copies: in float32, with rows padded to a
 *            multiple of 16 numbers, and in bfloat16, padded to 64 numbers and 128 rows. A table with a number that
 *            is not finite in bfloat16 (3.39e38 and above are not) is MMKG_BAD_ARGUMENT. For MMKG_COMPLEX_DISTANCE
 *            there is one, as it is.
 *   margin   of the distance, finite; ignored by the inner product
 */
MMKG_API mmkg_status mmkg_gpu_scan_open(mmkg_gpu *gpu, const float *table, int64_t rows, int64_t width, int32_t score,
                                        float margin, mmkg_gpu_scan **scan);
MMKG_API void mmkg_gpu_scan_close(mmkg_gpu_scan *scan); /* before its GPU; NULL is allowed */
MMKG_API int64_t mmkg_gpu_scan_bytes(const mmkg_gpu_scan *scan); /* of GPU memory that the table takes */

/*
 * Where the rows lie in float32, for others to read as long as the scan is open.
 *
 *   address   of the first, written
 *   stride    numbers from one row to the next, written; those behind the width are zeros
 */
MMKG_API mmkg_status mmkg_gpu_scan_rows(const mmkg_gpu_scan *scan, uint64_t *address, int64_t *stride);

/* How answers came about: queries that were answered in the first pass, in a wider one, and from all rows. */
typedef struct mmkg_gpu_report {
    int64_t first, wider, exact;
} mmkg_gpu_report;

/*
 * mmkg_top_k on the GPU; waits for the stream.
 *
 *   queries     float32 [batch, width], an address of the host or the GPU, as `place` says; on the GPU at a multiple
 *               of 16 bytes, and written by what is ordered before the stream
 *   k           1 to MMKG_MAX_GPU_K
 *   report      written, or NULL
 *
 * The other arguments are those of mmkg_top_k, in memory of the host.
 */
MMKG_API mmkg_status mmkg_gpu_top_k(const mmkg_gpu_scan *scan, uint64_t queries, int32_t place, int64_t batch,
                                    int64_t k, const int64_t *excluded_offsets, const int64_t *excluded_ids,
                                    const int64_t *candidates, int64_t num_candidates, int64_t *ids, float *scores,
                                    int64_t *counts, mmkg_gpu_report *report, uint64_t stream);

/*
 * The first pass of mmkg_gpu_top_k alone, with distances the only one: put on the stream and not waited for, so that
 * it can be captured. All addresses are of the GPU, at multiples of 16 bytes, and read or written when the stream
 * comes to it.
 *
 *   longest        at least the length of the longest list of excluded rows
 *   ids, scores, counts   as of mmkg_top_k
 *   certificates   int32 [batch], written: MMKG_CERTAIN or, where the answer must be made by mmkg_gpu_top_k,
 *                  something else
 *
 * MMKG_BAD_ARGUMENT if the batch is larger than mmkg_gpu_top_k_batch gives.
 */
MMKG_API mmkg_status mmkg_gpu_top_k_launch(const mmkg_gpu_scan *scan, uint64_t queries, int64_t batch, int64_t k,
                                           uint64_t excluded_offsets, uint64_t excluded_ids, int64_t longest,
                                           uint64_t ids, uint64_t scores, uint64_t counts, uint64_t certificates,
                                           uint64_t stream);
#define MMKG_CERTAIN 1

/* The largest batch of mmkg_gpu_top_k_launch, at least 1. */
MMKG_API int64_t mmkg_gpu_top_k_batch(const mmkg_gpu_scan *scan, int64_t k, int64_t longest);

/*
 * mmkg_pair_scores on the GPU; waits for the stream. Queries as of mmkg_gpu_top_k, ids and scores in memory of the
 * host.
 */
MMKG_API mmkg_status mmkg_gpu_pair_scores(const mmkg_gpu_scan *scan, uint64_t queries, int32_t place, int64_t batch,
                                          const int64_t *ids, float *scores, uint64_t stream);

/* mmkg_ranks on the GPU; waits for the stream. Queries and report as of mmkg_gpu_top_k, the rest as of mmkg_ranks. */
MMKG_API mmkg_status mmkg_gpu_ranks(const mmkg_gpu_scan *scan, uint64_t queries, int32_t place, int64_t batch,
                                    const int64_t *targets, const int64_t *known_offsets, const int64_t *known_ids,
                                    float known_penalty, int64_t *better, int64_t *equal, int64_t *equal_lower,
                                    mmkg_gpu_report *report, uint64_t stream);

#ifdef __cplusplus
}
#endif

#endif
