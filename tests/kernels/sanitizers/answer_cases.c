/*
 * Every function of mmkg_answer.h from plain C, for the sanitizers: arrays end where they must not be read or written
 * any further, and several threads share one handle. Answers are compared with those of the calls that it stands for.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mmkg_answer.h"

static void check(int holds, const char *what) {
    if (holds) return;
    fprintf(stderr, "failed: %s (%s)\n", what, mmkg_last_error());
    exit(1);
}

static uint32_t state = 1;

static uint32_t draw(void) {
    state = state * 1664525u + 1013904223u;
    return state >> 16;
}

static float *numbers(int64_t count) {
    float *out = malloc((size_t)count * sizeof *out);
    for (int64_t i = 0; i < count; ++i) out[i] = (float)(int32_t)(draw() % 4001) / 2000.0f - 1.0f;
    return out;
}

static int64_t *ids(int64_t count, int64_t limit) {
    int64_t *out = malloc((size_t)count * sizeof *out);
    for (int64_t i = 0; i < count; ++i) out[i] = (int64_t)(draw() % (uint32_t)limit);
    return out;
}

enum { LAYER_ARRAYS = 16, ROWS = 41, RELATIONS = 3, WIDTH = 18, KNOWN = 2 };

struct case_ {
    int transforms, has_core, filters, subset;
    int64_t batch, k;
};

struct question {
    const mmkg_answer *answer;
    const struct case_ *s;
    const int64_t *entity, *relation, *direction, *candidates;
    int64_t num_candidates;
    const mmkg_known_triples *known;
    const int64_t *offsets, *ids; /* what is expected */
    const float *scores;
};

/* Every key has two answers, 5 and 7 + relation; exact arrays, which the index ends with. */
static mmkg_known_triples index_of_all(void) {
    const int64_t keys = RELATIONS * 2 * ROWS;
    int64_t *key = malloc((size_t)keys * sizeof *key), *offset = malloc((size_t)(keys + 1) * sizeof *offset);
    int64_t *answer = malloc((size_t)(KNOWN * keys) * sizeof *answer);
    offset[0] = 0;
    for (int64_t i = 0; i < keys; ++i) {
        key[i] = ((i / ROWS) << 32) + i % ROWS;
        answer[KNOWN * i] = 5, answer[KNOWN * i + 1] = 7 + i / ROWS / 2;
        offset[i + 1] = KNOWN * (i + 1);
    }
    const mmkg_known_triples known = {key, keys, offset, answer, KNOWN * keys};
    return known;
}

static mmkg_query_context *transformer(int32_t set, mmkg_pool *pool) {
    const int64_t square = WIDTH * WIDTH;
    const int64_t counts[LAYER_ARRAYS] = {square, WIDTH, square, WIDTH, square, WIDTH, square, WIDTH,
                                          WIDTH,  WIDTH, square, WIDTH, square, WIDTH, WIDTH,  WIDTH};
    mmkg_query_layer layer;
    const float **first = &layer.query_weight;
    for (int i = 0; i < LAYER_ARRAYS; ++i) first[i] = numbers(counts[i]);
    float *known = numbers(2 * WIDTH), *missing = numbers(2 * WIDTH), *relations = numbers(RELATIONS * WIDTH);
    const mmkg_query_weights weights = {WIDTH, 2, WIDTH, RELATIONS, 1, 1e-5f, known, missing, relations, &layer};
    mmkg_query_context *context;
    check(mmkg_query_context_open(&weights, set, pool, &context) == MMKG_OK, "mmkg_query_context_open");
    for (int i = 0; i < LAYER_ARRAYS; ++i) free((void *)first[i]);
    free(known), free(missing), free(relations);
    return context;
}

static void *ask(void *argument) {
    const struct question *q = argument;
    const size_t size = (size_t)(q->s->batch * q->s->k);
    int64_t *offsets = malloc((size_t)(q->s->batch + 1) * sizeof *offsets), *found = malloc(size * sizeof *found);
    float *scores = malloc(size * sizeof *scores);
    for (int i = 0; i < 2; ++i) {
        check(mmkg_answer_top_k(q->answer, q->entity, q->relation, q->direction, q->s->batch, q->s->k, q->known,
                                q->candidates, q->num_candidates, offsets, found, scores) == MMKG_OK,
              "mmkg_answer_top_k");
        const size_t count = (size_t)q->offsets[q->s->batch];
        check(!memcmp(offsets, q->offsets, (size_t)(q->s->batch + 1) * sizeof *offsets), "offsets");
        check(!memcmp(found, q->ids, count * sizeof *found), "ids");
        check(!memcmp(scores, q->scores, count * sizeof *scores), "scores");
    }
    free(offsets), free(found), free(scores);
    return NULL;
}

/* The calls that it stands for, one question at a time. */
static void expect(struct question *q, const mmkg_answer_parts *parts, const float *table) {
    const struct case_ *s = q->s;
    int64_t *offsets = malloc((size_t)(s->batch + 1) * sizeof *offsets);
    int64_t *found = malloc((size_t)(s->batch * s->k) * sizeof *found);
    float *scores = malloc((size_t)(s->batch * s->k) * sizeof *scores);
    float vector[WIDTH], context[WIDTH], relation[WIDTH];
    offsets[0] = 0;
    for (int64_t i = 0; i < s->batch; ++i) {
        const int64_t *e = q->entity + i, *r = q->relation + i, *d = q->direction + i;
        if (!parts->context) {
            check(mmkg_rotation_apply(table, ROWS, WIDTH, parts->rotations, RELATIONS, e, r, d, 1, vector) == MMKG_OK,
                  "mmkg_rotation_apply");
        } else {
            check(mmkg_query_context_encode(parts->context, table, ROWS, 1, e, r, d, context, relation) == MMKG_OK,
                  "mmkg_query_context_encode");
            memcpy(vector, context, sizeof vector);
            if (parts->core) {
                check(mmkg_tucker_apply(parts->core, context, relation, 1, vector) == MMKG_OK, "mmkg_tucker_apply");
            }
        }
        const int64_t excluded_offsets[] = {0, KNOWN}, excluded[] = {5, 7 + *r};
        int64_t count;
        check(mmkg_top_k(parts->scan, vector, 1, s->k, s->filters ? excluded_offsets : NULL, excluded, q->candidates,
                         q->num_candidates, found + offsets[i], scores + offsets[i], &count, NULL) == MMKG_OK,
              "mmkg_top_k");
        offsets[i + 1] = offsets[i] + count;
    }
    q->offsets = offsets, q->ids = found, q->scores = scores;
}

static void run(const struct case_ *s, int32_t set, int threads) {
    mmkg_pool *pool;
    check(mmkg_pool_open(threads, &pool) == MMKG_OK, "mmkg_pool_open");
    float *table = numbers(ROWS * WIDTH), *rotations = numbers(RELATIONS * WIDTH);
    float *core = numbers(WIDTH * WIDTH * WIDTH), *map = numbers(WIDTH * WIDTH), *shift = numbers(WIDTH);
    mmkg_scan *scan;
    const int32_t score = s->transforms ? MMKG_INNER_PRODUCT : MMKG_COMPLEX_DISTANCE;
    check(mmkg_scan_open(table, ROWS, WIDTH, score, 3.0f, set, MMKG_BEST_STORAGE, pool, &scan) == MMKG_OK, "scan");
    mmkg_query_context *context = s->transforms ? transformer(set, pool) : NULL;
    mmkg_tucker *tucker = NULL;
    if (s->has_core) {
        check(mmkg_tucker_open(core, MMKG_FP32, map, shift, WIDTH, set, pool, &tucker) == MMKG_OK, "tucker");
    }
    const mmkg_answer_parts parts = {scan, context, tucker, s->transforms ? NULL : rotations, RELATIONS};
    mmkg_answer *answer;
    check(mmkg_answer_open(&parts, &answer) == MMKG_OK, "mmkg_answer_open");
    int64_t *entity = ids(s->batch, ROWS), *relation = ids(s->batch, RELATIONS), *direction = ids(s->batch, 2);
    int64_t *chosen = malloc((ROWS / 2 + 1) * sizeof *chosen);
    for (int64_t i = 0; i <= ROWS / 2; ++i) chosen[i] = 2 * i;
    mmkg_known_triples known = index_of_all();
    struct question q = {answer, s, entity, relation, direction, s->subset ? chosen : NULL, ROWS / 2 + 1,
                         s->filters ? &known : NULL, NULL, NULL, NULL};
    expect(&q, &parts, table);
    pthread_t callers[3];
    for (int i = 0; i < 3; ++i) check(pthread_create(&callers[i], NULL, ask, &q) == 0, "pthread_create");
    for (int i = 0; i < 3; ++i) pthread_join(callers[i], NULL);

    entity[s->batch - 1] = ROWS;
    check(mmkg_answer_top_k(answer, entity, relation, direction, s->batch, s->k, NULL, NULL, 0, (int64_t *)q.offsets,
                            (int64_t *)q.ids, (float *)q.scores) == MMKG_BAD_ARGUMENT,
          "an entity out of range");
    mmkg_answer_close(answer), mmkg_tucker_close(tucker), mmkg_query_context_close(context), mmkg_scan_close(scan);
    mmkg_pool_close(pool);
    free(table), free(rotations), free(core), free(map), free(shift), free(entity), free(relation), free(direction);
    free(chosen), free((void *)q.offsets), free((void *)q.ids), free((void *)q.scores);
    free((void *)known.keys), free((void *)known.offsets), free((void *)known.answers);
}

int main(void) {
    static const struct case_ all[] = {
        {1, 1, 1, 0, 1, 5}, {1, 1, 0, 1, 3, 41}, {1, 0, 1, 1, 7, 3}, {1, 1, 1, 0, 513, 2},
        {0, 0, 1, 0, 1, 9}, {0, 0, 0, 0, 4, 41}, {0, 0, 1, 1, 9, 2}, {0, 0, 1, 0, 257, 60},
    };
    int cases = 0;
    for (int32_t set = MMKG_PORTABLE; set <= MMKG_AVX512_BF16; ++set) {
        if (!mmkg_has_instruction_set(set)) continue;
        for (size_t i = 0; i < sizeof all / sizeof *all; ++i, ++cases) run(&all[i], set, 1 + cases % 3);
    }
    mmkg_answer_close(NULL);
    printf("%d cases\n", cases);
    return 0;
}
