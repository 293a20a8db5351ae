/*
 * mmkg_answer.h: a question in one call, ids in, ids and scores out, on a CPU. Plain C; handles, status and threads are
 * those of mmkg.h.
 *
 * It composes what the other headers make, and gives their very bits: the vector of a question by
 * mmkg_query_context_encode and mmkg_tucker_apply, or by mmkg_rotation_apply; the known answers that are left out; and
 * the best rows of the table by mmkg_top_k. What lies between is kept by the handle for the next call.
 */
#ifndef MMKG_ANSWER_H
#define MMKG_ANSWER_H

#include "mmkg.h"
#include "mmkg_query.h"
#include "mmkg_tucker.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * What answers are made of; read where it is: it must stay until the handle is closed. Handles have one pool, widths
 * are those of the table. Vectors come from a transformer (context) or from rotations, one of the two; the other is NULL.
 */
typedef struct mmkg_answer_parts {
    const mmkg_scan *scan;             /* the table, of 1 row at least: entities that are asked about, and answers */
    const mmkg_query_context *context;
    const mmkg_tucker *core;           /* behind the context, or NULL */
    const float *rotations;            /* as of mmkg_rotation_apply */
    int64_t num_rotations;             /* as many as relations */
} mmkg_answer_parts;

typedef struct mmkg_answer mmkg_answer;

MMKG_API mmkg_status mmkg_answer_open(const mmkg_answer_parts *parts, mmkg_answer **answer);
MMKG_API void mmkg_answer_close(mmkg_answer *answer); /* NULL is allowed */

/*
 * Which answers of a question are known. Read where it lies; what is read of it is checked, so that a damaged index is
 * an error or an answer too many or too few, never more.
 *
 *   keys      int64 [num_keys], ascending: ((relation * 2 + direction) << 32) + entity
 *   offsets   int64 [num_keys + 1]
 *   answers   int64 [num_answers]; those of key i are answers[offsets[i]] up to offsets[i + 1], strictly ascending
 */
typedef struct mmkg_known_triples {
    const int64_t *keys;
    int64_t num_keys;
    const int64_t *offsets;
    const int64_t *answers;
    int64_t num_answers;
} mmkg_known_triples;

/*
 * The k best candidates of each question, best first, as mmkg_top_k gives them. Memory beside the arguments is that of
 * the calls that it stands for, of at most 256 questions at a time.
 *
 *   entity, relation, direction   int64 [batch]: a row of the table, a relation, 0 (the tail is asked for) or 1
 *   k                             1 to MMKG_MAX_K
 *   known                         answers to leave out, or NULL: none
 *   candidates                    int64 [num_candidates] rows, strictly ascending; NULL: all rows
 *   offsets                       int64 [batch + 1], written
 *   ids, scores                   int64, float32, room for batch * k, written: the answers of question i are at
 *                                 offsets[i] up to offsets[i + 1]; what lies behind offsets[batch] may be overwritten
 *
 * If it fails, what was written means nothing. MMKG_BAD_ARGUMENT names a question with an id out of range; MMKG_NAN
 * means that the vector of a question is not finite, or a score is NaN.
 */
MMKG_API mmkg_status mmkg_answer_top_k(const mmkg_answer *answer, const int64_t *entity, const int64_t *relation,
                                       const int64_t *direction, int64_t batch, int64_t k,
                                       const mmkg_known_triples *known, const int64_t *candidates,
                                       int64_t num_candidates, int64_t *offsets, int64_t *ids, float *scores);

#ifdef __cplusplus
}
#endif

#endif
