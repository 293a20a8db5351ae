/*
 * Every function of mmkg_query.h from plain C, for the sanitizers: arrays end where they must not be read or written any
 * further, and several threads share one encoder. What a question gives is compared with that of the question alone.
 */
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mmkg_query.h"

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

enum { LAYER_ARRAYS = 16, ENTITIES = 5, RELATIONS = 3 };

struct case_ {
    int64_t width, heads, hidden, layers, batch;
};

struct question {
    const mmkg_query_context *encoder;
    int64_t width, batch;
    const float *table;
    const int64_t *entities, *relations, *directions;
    const float *context, *relation;
};

static mmkg_status encode(const struct question *q, int64_t first, int64_t count, float *context, float *relation) {
    return mmkg_query_context_encode(q->encoder, q->table, ENTITIES, count, q->entities + first, q->relations + first,
                                     q->directions + first, context, relation);
}

static void *encode_again(void *argument) {
    const struct question *q = argument;
    const size_t bytes = (size_t)(q->batch * q->width) * sizeof(float);
    float *context = malloc(bytes), *relation = malloc(bytes);
    for (int i = 0; i < 3; ++i) {
        check(encode(q, 0, q->batch, context, relation) == MMKG_OK, "mmkg_query_context_encode");
        check(memcmp(context, q->context, bytes) == 0, "contexts of another thread");
        check(memcmp(relation, q->relation, bytes) == 0, "relations of another thread");
    }
    free(context), free(relation);
    return NULL;
}

static mmkg_query_context *opened(const struct case_ *s, int32_t set, mmkg_pool *pool) {
    const int64_t square = s->width * s->width, deep = s->width * s->hidden;
    /* In the order of the structure's pointers. */
    const int64_t counts[LAYER_ARRAYS] = {square,   s->width, square,   s->width, square, s->width,  square, s->width,
                                          s->width, s->width, deep,     s->hidden, deep,  s->width, s->width, s->width};
    mmkg_query_layer *layers = malloc((size_t)s->layers * sizeof *layers);
    for (int64_t layer = 0; layer < s->layers; ++layer) {
        const float **first = &layers[layer].query_weight;
        for (int i = 0; i < LAYER_ARRAYS; ++i) first[i] = numbers(counts[i]);
    }
    float *known = numbers(2 * s->width), *missing = numbers(2 * s->width), *relations = numbers(RELATIONS * s->width);
    const mmkg_query_weights weights = {s->width, s->heads, s->hidden, RELATIONS, s->layers, 1e-5f,
                                        known,    missing,  relations, layers};
    mmkg_query_context *encoder;
    check(mmkg_query_context_open(&weights, set, pool, &encoder) == MMKG_OK, "mmkg_query_context_open");
    check(mmkg_query_context_instruction_set(encoder) == set, "instruction set");
    for (int64_t layer = 0; layer < s->layers; ++layer) {
        const float **first = &layers[layer].query_weight;
        for (int i = 0; i < LAYER_ARRAYS; ++i) free((void *)first[i]);
    }
    free(layers), free(known), free(missing), free(relations);
    return encoder;
}

static void run(const struct case_ *s, int32_t set, int threads) {
    const size_t row = (size_t)s->width * sizeof(float);
    mmkg_pool *pool;
    check(mmkg_pool_open(threads, &pool) == MMKG_OK, "mmkg_pool_open");
    mmkg_query_context *encoder = opened(s, set, pool);
    float *table = numbers(ENTITIES * s->width), *alone = malloc(2 * row);
    float *context = malloc((size_t)s->batch * row), *relation = malloc((size_t)s->batch * row);
    int64_t *entities = ids(s->batch, ENTITIES), *relations = ids(s->batch, RELATIONS), *directions = ids(s->batch, 2);
    struct question q = {encoder, s->width, s->batch, table, entities, relations, directions, context, relation};
    check(encode(&q, 0, s->batch, context, relation) == MMKG_OK, "mmkg_query_context_encode");
    for (int64_t i = 0; i < s->batch; ++i) {
        check(encode(&q, i, 1, alone, alone + s->width) == MMKG_OK, "a question alone");
        check(memcmp(alone, context + i * s->width, row) == 0, "context of a question alone");
        check(memcmp(alone + s->width, relation + i * s->width, row) == 0, "relation of a question alone");
        check(isfinite(alone[0]), "finite");
    }
    pthread_t callers[3];
    for (int i = 0; i < 3; ++i) check(pthread_create(&callers[i], NULL, encode_again, &q) == 0, "pthread_create");
    for (int i = 0; i < 3; ++i) pthread_join(callers[i], NULL);

    entities[s->batch - 1] = ENTITIES;
    check(encode(&q, 0, s->batch, context, relation) == MMKG_BAD_ARGUMENT, "an entity out of range");
    entities[s->batch - 1] = 0;
    directions[0] = -1;
    check(encode(&q, 0, s->batch, context, relation) == MMKG_BAD_ARGUMENT, "a direction out of range");
    free(table), free(alone), free(context), free(relation), free(entities), free(relations), free(directions);
    mmkg_query_context_close(encoder);
    mmkg_pool_close(pool);
}

/* Rotations and their questions, with and without an id out of range. */
static void rotate(int64_t half, int64_t batch) {
    const int64_t width = 2 * half;
    const size_t row = (size_t)width * sizeof(float);
    float *table = numbers(ENTITIES * width), *rotations = numbers(RELATIONS * width);
    int64_t *entities = ids(batch, ENTITIES), *relations = ids(batch, RELATIONS), *directions = ids(batch, 2);
    float *queries = malloc((size_t)batch * row), *alone = malloc(row);
    check(mmkg_rotation_apply(table, ENTITIES, width, rotations, RELATIONS, entities, relations, directions, batch,
                              queries) == MMKG_OK,
          "mmkg_rotation_apply");
    for (int64_t i = 0; i < batch; ++i) {
        check(mmkg_rotation_apply(table, ENTITIES, width, rotations, RELATIONS, entities + i, relations + i,
                                  directions + i, 1, alone) == MMKG_OK,
              "a rotation alone");
        check(memcmp(alone, queries + i * width, row) == 0, "rotation of a question alone");
    }
    relations[batch - 1] = RELATIONS;
    check(mmkg_rotation_apply(table, ENTITIES, width, rotations, RELATIONS, entities, relations, directions, batch,
                              queries) == MMKG_BAD_ARGUMENT,
          "a relation out of range");
    free(table), free(rotations), free(entities), free(relations), free(directions), free(queries), free(alone);
}

int main(void) {
    static const struct case_ all[] = {
        {1, 1, 1, 1, 1},   {6, 3, 5, 3, 13},  {15, 5, 17, 1, 24},  {17, 1, 33, 2, 5},   {32, 2, 64, 1, 67},
        {33, 3, 257, 2, 7}, {48, 8, 40, 1, 2}, {130, 2, 70, 1, 130},
    };
    int cases = 0;
    for (int32_t set = MMKG_PORTABLE; set <= MMKG_AVX512; ++set) {
        if (!mmkg_has_instruction_set(set)) continue;
        for (size_t i = 0; i < sizeof all / sizeof *all; ++i, ++cases) run(&all[i], set, 1 + cases % 3);
    }
    for (int64_t half = 1; half < 40; half += 3, ++cases) rotate(half, 1 + half % 5);
    mmkg_query_context_close(NULL);
    printf("%d cases\n", cases);
    return 0;
}
