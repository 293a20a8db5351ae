/*
 * Every function of mmkg.h from plain C, for the sanitizers: arrays end where they must not be read any further, and
 * several threads share one scan. Answers are compared with canonical scores and a plain sort.
 */
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cases.h"
#include "mmkg.h"

static int fine; /* numbers of 24 bits, which no copy holds; else of 8, so that scores are equal here and there */

static float draw(void) {
    state = state * 1664525u + 1013904223u;
    return fine ? (float)(state >> 8) / 4194304.0f - 2.0f : (float)(state >> 24) / 64.0f - 2.0f;
}

static float *vectors(int64_t count, int64_t width) {
    float *out = malloc((size_t)(count * width) * sizeof *out);
    for (int64_t i = 0; i < count * width; ++i) out[i] = draw();
    return out;
}

struct answer {
    float score;
    int64_t id;
};

static int better_first(const void *left, const void *right) {
    const struct answer *a = left, *b = right;
    if (a->score != b->score) return a->score > b->score ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

struct question {
    const mmkg_scan *scan;
    const float *queries;
    int64_t rows, width, batch, k;
    int excluding;  /* every third row of every second query */
    int subset;     /* every second row */
};

static void *ask(void *argument) {
    const struct question *q = argument;
    int64_t *offsets = malloc((size_t)(q->batch + 1) * sizeof *offsets);
    int64_t *excluded = malloc((size_t)(q->batch * q->rows + 1) * sizeof *excluded);
    offsets[0] = 0;
    for (int64_t i = 0; i < q->batch; ++i) {
        offsets[i + 1] = offsets[i];
        for (int64_t id = 0; i % 2 == 0 && id < q->rows; id += 3) excluded[offsets[i + 1]++] = id;
    }
    int64_t *chosen = malloc((size_t)q->rows * sizeof *chosen), num_chosen = 0;
    for (int64_t id = 0; id < q->rows; id += 2) chosen[num_chosen++] = id;

    const size_t size = (size_t)(q->batch * q->k);
    int64_t *ids = calloc(size, sizeof *ids), *counts = malloc((size_t)q->batch * sizeof *counts);
    float *scores = calloc(size, sizeof *scores);
    mmkg_top_k_report report;
    check(mmkg_top_k(q->scan, q->queries, q->batch, q->k, q->excluding ? offsets : NULL, q->excluding ? excluded : NULL,
                     q->subset ? chosen : NULL, num_chosen, ids, scores, counts,
                     &report) == MMKG_OK,
          "mmkg_top_k");
    check(report.settled >= 0 && report.most_settled <= q->rows && report.few_settled <= q->batch, "report");
    int64_t *targets = malloc((size_t)q->batch * sizeof *targets), *ranks = malloc(3 * (size_t)q->batch * sizeof *ranks);
    for (int64_t i = 0; i < q->batch; ++i) targets[i] = i * 7 % q->rows;
    check(mmkg_ranks(q->scan, q->queries, q->batch, targets, offsets, excluded, INFINITY, ranks, ranks + q->batch,
                     ranks + 2 * q->batch) == MMKG_OK,
          "mmkg_ranks");
    float *goals = malloc((size_t)q->batch * sizeof *goals);
    int64_t *part = malloc(3 * (size_t)q->batch * sizeof *part);
    check(mmkg_pair_scores(q->scan, q->queries, q->batch, targets, goals) == MMKG_OK, "mmkg_pair_scores");
    check(mmkg_ranks_in_part(q->scan, q->queries, q->batch, targets, goals, offsets, excluded, INFINITY, part,
                             part + q->batch, part + 2 * q->batch) == MMKG_OK,
          "mmkg_ranks_in_part");
    check(memcmp(part, ranks, 3 * (size_t)q->batch * sizeof *part) == 0, "one part is the whole");
    free(goals);
    free(part);

    struct answer *all = malloc((size_t)q->rows * sizeof *all);
    float *own = malloc((size_t)q->rows * sizeof *own), *same = malloc((size_t)(q->rows * q->width) * sizeof *same);
    int64_t *every = malloc((size_t)q->rows * sizeof *every);
    for (int64_t id = 0; id < q->rows; ++id) every[id] = id;
    for (int64_t i = 0; i < q->batch; ++i) {
        for (int64_t id = 0; id < q->rows; ++id) {
            memcpy(same + id * q->width, q->queries + i * q->width, (size_t)q->width * sizeof *same);
        }
        check(mmkg_pair_scores(q->scan, same, q->rows, every, own) == MMKG_OK, "mmkg_pair_scores");
        int64_t free_rows = 0, better = 0, equal = 0;
        for (int64_t id = 0; id < q->rows; ++id) {
            const int known = i % 2 == 0 && id % 3 == 0;
            if (!known && id != targets[i]) {
                better += own[id] > own[targets[i]];
                equal += own[id] == own[targets[i]];
            }
            if ((q->excluding && known) || (q->subset && id % 2)) continue;
            all[free_rows].score = own[id];
            all[free_rows++].id = id;
        }
        check(ranks[i] == better && ranks[q->batch + i] == equal, "ranks");
        qsort(all, (size_t)free_rows, sizeof *all, better_first);
        check(counts[i] == (free_rows < q->k ? free_rows : q->k), "count of answers");
        for (int64_t j = 0; j < counts[i]; ++j) {
            check(ids[i * q->k + j] == all[j].id && scores[i * q->k + j] == all[j].score, "answers");
        }
    }
    add_to_digest(ids, size * sizeof *ids), add_to_digest(scores, size * sizeof *scores);
    add_to_digest(ranks, 3 * (size_t)q->batch * sizeof *ranks);
    free(offsets), free(excluded), free(chosen), free(ids), free(counts), free(scores), free(targets), free(ranks);
    free(all), free(own), free(same), free(every);
    return NULL;
}

/* Every query is its right answer's row, which is then among the best: copies decide almost all of the others. */
static void ask_for_targets(const struct question *q, const float *table, float *queries) {
    for (int64_t i = 0; i < q->batch; ++i) {
        memcpy(queries + i * q->width, table + i * 7 % q->rows * q->width, (size_t)q->width * sizeof *queries);
    }
}

#ifndef LARGE_CASES
#define LARGE_CASES 2 /* 0 where an emulator would take a minute for them */
#endif

static void ask_from_threads(struct question *question) {
    pthread_t callers[4];
    for (int i = 0; i < 4; ++i) check(pthread_create(&callers[i], NULL, ask, question) == 0, "pthread_create");
    for (int i = 0; i < 4; ++i) pthread_join(callers[i], NULL);
}

int main(void) {
    static const int64_t rows[] = {1, 2, 5, 11, 12, 13, 31, 67}, widths[] = {2, 6, 16, 30, 34, 64};
    static const int64_t batches[] = {1, 2, 3, 8, 9, 17, 33};
    int cases = 0;
    for (int32_t set = MMKG_PORTABLE; set <= MMKG_NEON_I8MM; ++set) {
        if (!begins(set)) continue;
        for (int kind = 0; kind < 2; ++kind) {
            int32_t storage = MMKG_FLOAT32; /* or the copy that the set adds to those before */
            if (kind == 0 && set != MMKG_PORTABLE && set != MMKG_NEON) storage = MMKG_INT8;
            if (kind == 0 && (set == MMKG_AVX512_BF16 || set == MMKG_NEON_BF16)) storage = MMKG_BFLOAT16;
            for (int i = 0; i < 56; ++i, ++cases) {
                fine = i / 8 % 2;
                struct question q = {NULL, NULL, rows[i % 8], widths[i % 6], batches[i % 7], 1 + i % 9, i % 2, i % 3 == 0};
                float *table = vectors(q.rows, q.width), *queries = vectors(q.batch, q.width);
                if (i % 4 < 2) ask_for_targets(&q, table, queries);
                mmkg_pool *pool;
                mmkg_scan *scan;
                check(mmkg_pool_open(1 + i % 3, &pool) == MMKG_OK, "mmkg_pool_open");
                check(mmkg_scan_open(table, q.rows, q.width, kind, 3.0f, set, storage, pool, &scan) == MMKG_OK, "mmkg_scan_open");
                q.scan = scan;
                q.queries = queries;
                ask(&q);
                mmkg_scan_close(scan);
                mmkg_pool_close(pool);
                free(table), free(queries);
            }
            /* Enough work for several threads, which share the rows, or the queries where there are many. */
            for (int many = 0; many < LARGE_CASES; ++many) {
                fine = many;
                struct question q = {NULL, NULL, many ? 2000 : 4500, 64, many ? 73 : 33, 12, 1, 0};
                float *table = vectors(q.rows, q.width), *queries = vectors(q.batch, q.width);
                ask_for_targets(&q, table, queries);
                mmkg_pool *pool;
                mmkg_scan *scan;
                check(mmkg_pool_open(3, &pool) == MMKG_OK, "mmkg_pool_open");
                check(mmkg_scan_open(table, q.rows, q.width, kind, 3.0f, set, storage, pool, &scan) == MMKG_OK, "mmkg_scan_open");
                q.scan = scan;
                q.queries = queries;
                ask_from_threads(&q);
                mmkg_scan_close(scan);
                mmkg_pool_close(pool);
                free(table), free(queries);
            }
        }
        ends(set);
    }
    printf("%d cases\n", cases);
    return 0;
}
