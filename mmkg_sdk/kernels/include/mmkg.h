/*
 * mmkg.h: exact ranking of a table of vectors on a CPU. Plain C; needs neither Python nor C++ on the caller's side.
 *
 * The canonical score of a query and a row, both float32, depends on nothing but their numbers: every instruction set
 * and every number of threads gives these very bits (round to nearest, denormals kept; -0 is given as +0).
 *
 *   Lanes: lane j of 16 takes coordinates j, j + 16, j + 32, ... in this order; coordinates past the end are zeros.
 *   Tree:  lane j += lane j + 8 (j < 8), then + 4 (j < 4), + 2 (j < 2), + 1.
 *
 *   MMKG_INNER_PRODUCT      lane = fma(query, row, lane), from 0; score = tree + 0.
 *   MMKG_COMPLEX_DISTANCE   over the d = width / 2 complex coordinates (d real, then d imaginary parts):
 *                           re = query.re - row.re; im = query.im - row.im; lane += sqrt(fma(re, re, im * im)), each
 *                           operation rounded once; score = (margin - tree) + 0.
 *
 * Vectors that the other headers make (queries, entities), and the scores of mmkg_link.h, are sums of multiply-adds in
 * one order each. Every processor that rounds a multiply-add once gives the same bits: code for AVX2 and AVX-512, and
 * MMKG_PORTABLE on ARM64. MMKG_PORTABLE for any x86-64, which may have no such instruction, rounds it twice and differs
 * by rounding.
 *
 * Higher is better. Equal scores are ordered by ascending id. Arrays are C-contiguous, numbers aligned as their
 * type needs; nothing wider is asked for. All functions may be called from several threads at once with the same
 * handles, except that closing one must come last.
 */
#ifndef MMKG_H
#define MMKG_H

#include <stdint.h>

#if defined(_WIN32)
#define MMKG_API __declspec(dllexport)
#else
#define MMKG_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The version of the C interface: one for mmkg.h and all headers beside it. The major number grows when something that is
 * there changes its arguments or meaning, or goes; the minor one when something is added. A program that was compiled
 * with 3.1 runs with a library of 3.1 or a later 3.x, and with no other: see mmkg_abi_fits.
 */
#define MMKG_ABI_MAJOR 3
#define MMKG_ABI_MINOR 1
#define MMKG_ABI_VERSION (MMKG_ABI_MAJOR * 1000 + MMKG_ABI_MINOR)

/* Largest sizes; a table of more rows is split by the caller. */
#define MMKG_MAX_ROWS (((int64_t)1 << 31) - 1)
#define MMKG_MAX_WIDTH ((int64_t)1 << 20)
#define MMKG_MAX_K ((int64_t)1 << 20)
#define MMKG_MAX_THREADS 1024

typedef enum mmkg_status {
    MMKG_OK = 0,
    MMKG_BAD_ARGUMENT = 1, /* mmkg_last_error() names it */
    MMKG_NAN = 2,          /* a score of a candidate, excluded ones included, is NaN */
    MMKG_NO_MEMORY = 3,
    MMKG_FAILED = 4        /* the system refused something, for example a thread */
} mmkg_status;

typedef enum mmkg_score { MMKG_INNER_PRODUCT = 0, MMKG_COMPLEX_DISTANCE = 1 } mmkg_score;

typedef enum mmkg_instruction_set {
    MMKG_BEST = -1, /* of this processor, or what the variable MMKG_INSTRUCTION_SET names: "portable", "avx2", ... */
    MMKG_PORTABLE = 0,
    MMKG_AVX2 = 1,       /* with FMA and F16C */
    MMKG_AVX512 = 2,     /* F, BW, DQ, VL */
    MMKG_AVX512_VNNI = 3, /* and VNNI */
    MMKG_AVX512_BF16 = 4, /* and BF16 */
    MMKG_AVX2_VNNI = 5,   /* MMKG_AVX2 with AVX-VNNI */
    MMKG_NEON = 16,       /* of every ARM64 processor */
    MMKG_NEON_DOT = 17,   /* and products of 8 bits: FEAT_DotProd */
    MMKG_NEON_BF16 = 18,  /* and of bfloat16: FEAT_BF16 */
    MMKG_NEON_I8MM = 19   /* and of matrices of 8 bits: FEAT_I8MM */
} mmkg_instruction_set;

/*
 * What the first pass of mmkg_top_k and mmkg_ranks over the table reads. It changes the time and the memory, never an
 * answer. Copies are made by mmkg_scan_open, for inner products only. mmkg_ranks takes the table itself where a copy
 * would leave too many rows to be settled: with int8, for targets in the middle of the scores.
 */
typedef enum mmkg_storage {
    MMKG_BEST_STORAGE = -1, /* int8 if it is there and the rows suit it, else bfloat16, else float32 */
    MMKG_FLOAT32 = 0,  /* the table itself */
    MMKG_BFLOAT16 = 1, /* a copy of half its size; with MMKG_AVX512_BF16 or MMKG_NEON_BF16 */
    MMKG_INT8 = 2      /* a copy of a quarter of its size and 4.6 bytes a row, each row with a scale of its own; with
                          any set but MMKG_PORTABLE and MMKG_NEON, width at most 2^17. On x86-64 without VNNI queries
                          are rounded to 7 bits instead of 8. Rows of a few large and many small numbers suit it ill:
                          the small ones are lost, and more rows have to be settled. */
} mmkg_storage;

typedef struct mmkg_pool mmkg_pool; /* threads that sleep between calls */
typedef struct mmkg_scan mmkg_scan; /* a table and how it is scored */

/* MMKG_ABI_VERSION of the library that was loaded; before 3.0 it was 1 or 2. */
MMKG_API int32_t mmkg_abi_version(void);

/* Whether that library has what this header promises (1 or 0). If not, call nothing else of it. */
static inline int32_t mmkg_abi_fits(void) {
    const int32_t found = mmkg_abi_version();
    return found / 1000 == MMKG_ABI_MAJOR && found % 1000 >= MMKG_ABI_MINOR;
}

/* What the last call of this thread that did not give MMKG_OK found; empty before the first. Valid until the next. */
MMKG_API const char *mmkg_last_error(void);

/* Whether this build and this processor have an instruction set (1 or 0), and its name (NULL if there is none). */
MMKG_API int32_t mmkg_has_instruction_set(int32_t instruction_set);
MMKG_API const char *mmkg_instruction_set_name(int32_t instruction_set);

/*
 * Threads for scans, the calling one included (1 to MMKG_MAX_THREADS). They start with the first call that uses them
 * and start anew in a forked child. A call that finds the pool at work for another thread does not wait: it runs on
 * its own thread alone, with the same answer.
 */
MMKG_API mmkg_status mmkg_pool_open(int32_t threads, mmkg_pool **pool);
MMKG_API void mmkg_pool_close(mmkg_pool *pool); /* NULL is allowed */

/*
 * A table, float32 [rows, width], that is read where it is: it must stay, unchanged, until the scan is closed. So must
 * the pool. What is kept beside it: one float per row (inner product), nothing (distance), and a copy if there is one.
 *
 *   margin            of the distance, finite; ignored by the inner product.
 *   instruction_set   MMKG_BEST, or one that mmkg_has_instruction_set has (for tests and measurements).
 *   storage           one of mmkg_storage.
 */
MMKG_API mmkg_status mmkg_scan_open(const float *table, int64_t rows, int64_t width, int32_t score, float margin,
                                    int32_t instruction_set, int32_t storage, mmkg_pool *pool, mmkg_scan **scan);
MMKG_API void mmkg_scan_close(mmkg_scan *scan); /* NULL is allowed */
MMKG_API int32_t mmkg_scan_instruction_set(const mmkg_scan *scan);
MMKG_API int32_t mmkg_scan_storage(const mmkg_scan *scan); /* which of mmkg_storage was taken */
MMKG_API int64_t mmkg_scan_bytes(const mmkg_scan *scan);   /* kept beside the table */

/*
 * The canonical scores of pairs: query i with row ids[i].
 *
 *   queries   float32 [batch, width]
 *   ids       int64 [batch]
 *   scores    float32 [batch], written; NaN is no error here
 */
MMKG_API mmkg_status mmkg_pair_scores(const mmkg_scan *scan, const float *queries, int64_t batch, const int64_t *ids,
                                      float *scores);

/* What the answers of a mmkg_top_k took. */
typedef struct mmkg_top_k_report {
    int64_t bounded;       /* pairs of query and candidate that a first pass scored */
    int64_t settled;       /* pairs whose canonical score was computed */
    int64_t most_settled;  /* of one query */
    int64_t few_settled;   /* queries that took at most MMKG_FEW_SETTLED * k canonical scores */
} mmkg_top_k_report;
#define MMKG_FEW_SETTLED 8

/*
 * The k best candidates of each query, best first. Scores of -inf are left out.
 *
 *   queries            float32 [batch, width]
 *   k                  1 to MMKG_MAX_K
 *   excluded_offsets   int64 [batch + 1] from 0, or NULL: rows that are no answer to query i are
 *   excluded_ids       excluded_ids[excluded_offsets[i]] up to excluded_offsets[i + 1], strictly ascending
 *   candidates         int64 [num_candidates] rows, strictly ascending; NULL: all rows (num_candidates is ignored)
 *   ids, scores        int64, float32 [batch, k], written; counts[i] of them for query i, the rest is left as it was
 *   counts             int64 [batch], written
 *   report             written, or NULL
 */
MMKG_API mmkg_status mmkg_top_k(const mmkg_scan *scan, const float *queries, int64_t batch, int64_t k,
                                const int64_t *excluded_offsets, const int64_t *excluded_ids,
                                const int64_t *candidates, int64_t num_candidates, int64_t *ids, float *scores,
                                int64_t *counts, mmkg_top_k_report *report);

/*
 * Where the right answer of each query stands among all other rows.
 *
 *   queries         float32 [batch, width]
 *   targets         int64 [batch], the right answers
 *   known_offsets   int64 [batch + 1] from 0, or NULL: other known answers, in the form of excluded_offsets;
 *   known_ids       the target itself may be among them and counts as no other
 *   known_penalty   what is taken off the score of another known answer, at least 0; infinity leaves it out
 *   better          int64 [batch], written: rows with a higher score than the target
 *   equal           int64 [batch], written: other rows with the same score
 *   equal_lower     int64 [batch], written: those of them with a lower id
 */
MMKG_API mmkg_status mmkg_ranks(const mmkg_scan *scan, const float *queries, int64_t batch, const int64_t *targets,
                                const int64_t *known_offsets, const int64_t *known_ids, float known_penalty,
                                int64_t *better, int64_t *equal, int64_t *equal_lower);

/*
 * mmkg_ranks over one part of a table whose rows lie in several scans: the counts of all parts, added up, are those of
 * mmkg_ranks over the whole. Since 3.1.
 *
 *   targets   int64 [batch], the right answers as rows of this part: one of an earlier part is negative, one of a later
 *             part is the number of rows or more
 *   scores    float32 [batch], what mmkg_pair_scores gives them in the part where they lie
 *
 * The rest is as of mmkg_ranks; known_ids are rows of this part.
 */
MMKG_API mmkg_status mmkg_ranks_in_part(const mmkg_scan *scan, const float *queries, int64_t batch,
                                        const int64_t *targets, const float *scores, const int64_t *known_offsets,
                                        const int64_t *known_ids, float known_penalty, int64_t *better, int64_t *equal,
                                        int64_t *equal_lower);

#ifdef __cplusplus
}
#endif

#endif
