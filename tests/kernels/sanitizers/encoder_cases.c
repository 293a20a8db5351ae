/*
 * Every function of mmkg_encoder.h from plain C, for the sanitizers: arrays end where they must not be read or written
 * any further, and several threads share one encoder. Each vector is compared with that of its entity alone.
 */
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cases.h"
#include "mmkg_encoder.h"

static uint32_t draw(void) {
    state = state * 1664525u + 1013904223u;
    return state >> 16;
}

static float *numbers(int64_t count) {
    float *out = malloc((size_t)count * sizeof *out);
    for (int64_t i = 0; i < count; ++i) out[i] = (float)(int32_t)(draw() % 4001) / 2000.0f - 1.0f;
    return out;
}

enum { VECTORS = 21 };

struct case_ {
    int64_t width, heads, hidden, visual_rows, text_rows, batch, visual, text;
    int masked;
};

struct question {
    const mmkg_token_table *encoder;
    struct case_ sizes;
    const float *structure;
    const int64_t *visual, *text;
    const uint8_t *visual_mask, *text_mask;
    const float *expected;
};

static void encode(const struct question *q, int64_t first, int64_t count, float *vectors) {
    const struct case_ *s = &q->sizes;
    check(mmkg_token_table_encode(q->encoder, count, q->structure + first * s->width, q->visual + first * s->visual,
                                  q->visual_mask ? q->visual_mask + first * s->visual : NULL, s->visual,
                                  q->text + first * s->text, q->text_mask ? q->text_mask + first * s->text : NULL,
                                  s->text, vectors) == MMKG_OK,
          "mmkg_token_table_encode");
}

static void *encode_again(void *argument) {
    const struct question *q = argument;
    const size_t bytes = (size_t)(q->sizes.batch * q->sizes.width) * sizeof(float);
    float *vectors = malloc(bytes);
    for (int i = 0; i < 3; ++i) {
        encode(q, 0, q->sizes.batch, vectors);
        check(memcmp(vectors, q->expected, bytes) == 0, "vectors of another thread");
    }
    free(vectors);
    return NULL;
}

static int64_t *tokens(int64_t count, int64_t rows) {
    int64_t *out = malloc((size_t)count * sizeof *out);
    for (int64_t i = 0; i < count; ++i) out[i] = (int64_t)(draw() % (uint32_t)rows);
    return out;
}

static uint8_t *mask(int64_t count) {
    uint8_t *out = malloc((size_t)count);
    for (int64_t i = 0; i < count; ++i) out[i] = draw() % 3 == 0;
    return out;
}

static void run(const struct case_ *s, int32_t storage, int32_t set, int threads) {
    const int64_t rows = s->visual_rows + s->text_rows, width = s->width;
    /* In the order of the structure's pointers. */
    const int64_t counts[VECTORS] = {width,         width, width,       width * s->heads,    rows * s->heads,
                                     rows * width,  width * width, width, width,             s->heads,
                                     width,         width * width, width, width,             width,
                                     width * s->hidden, s->hidden, s->hidden * width, width, width, width};
    mmkg_token_table_weights weights = {width, s->heads, s->hidden, s->visual_rows, s->text_rows, 1e-5f,
                                        NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
                                        NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL};
    const float **first = &weights.structure_norm_weight;
    for (int i = 0; i < VECTORS; ++i) first[i] = numbers(counts[i]);
    mmkg_pool *pool;
    mmkg_token_table *encoder;
    check(mmkg_pool_open(threads, &pool) == MMKG_OK, "mmkg_pool_open");
    check(mmkg_token_table_open(&weights, storage, set, pool, &encoder) == MMKG_OK, "mmkg_token_table_open");
    check(mmkg_token_table_instruction_set(encoder) == set, "instruction set");
    for (int i = 0; i < VECTORS; ++i) free((void *)first[i]);

    float *structure = numbers(s->batch * width), *vectors = malloc((size_t)(s->batch * width) * sizeof *vectors);
    float *alone = malloc((size_t)width * sizeof *alone);
    int64_t *visual = tokens(s->batch * s->visual, s->visual_rows), *text = tokens(s->batch * s->text, s->text_rows);
    uint8_t *visual_mask = s->masked ? mask(s->batch * s->visual) : NULL;
    uint8_t *text_mask = s->masked ? mask(s->batch * s->text) : NULL;
    struct question q = {encoder, *s, structure, visual, text, visual_mask, text_mask, vectors};
    encode(&q, 0, s->batch, vectors);
    add_to_digest(vectors, (size_t)(s->batch * width) * sizeof *vectors);
    for (int64_t i = 0; i < s->batch; ++i) {
        encode(&q, i, 1, alone);
        check(memcmp(alone, vectors + i * width, (size_t)width * sizeof *alone) == 0, "vector of an entity alone");
        check(isfinite(alone[0]), "finite");
    }
    pthread_t callers[3];
    for (int i = 0; i < 3; ++i) check(pthread_create(&callers[i], NULL, encode_again, &q) == 0, "pthread_create");
    for (int i = 0; i < 3; ++i) pthread_join(callers[i], NULL);

    if (s->text) {
        text[s->batch * s->text - 1] = s->text_rows;
        check(mmkg_token_table_encode(encoder, s->batch, structure, visual, NULL, s->visual, text, NULL, s->text,
                                      vectors) == MMKG_BAD_ARGUMENT,
              "a token out of range");
    }
    free(structure), free(vectors), free(alone), free(visual), free(text), free(visual_mask), free(text_mask);
    mmkg_token_table_close(encoder);
    mmkg_pool_close(pool);
}

int main(void) {
    static const int32_t sets[] = {MMKG_PORTABLE, MMKG_AVX2, MMKG_AVX512, MMKG_NEON}; /* those with code of their own */
    static const struct case_ all[] = {
        {1, 1, 1, 1, 1, 1, 1, 1, 0},     {6, 3, 5, 2, 3, 13, 3, 2, 1},      {15, 5, 17, 9, 4, 24, 0, 7, 1},
        {17, 1, 33, 5, 5, 5, 15, 0, 1},  {32, 2, 64, 30, 20, 37, 8, 8, 0},  {33, 3, 257, 4, 8, 7, 30, 19, 1},
        {48, 8, 40, 3, 3, 12, 0, 0, 0},  {130, 2, 70, 6, 6, 3, 40, 1, 1},   {64, 1, 300, 11, 2, 100, 5, 5, 1},
        {80, 1, 20, 9, 8, 800, 70, 30, 1},
    };
    int cases = 0;
    for (size_t at = 0; at < sizeof sets / sizeof *sets; ++at) {
        const int32_t set = sets[at];
        if (!begins(set)) continue;
        for (size_t i = 0; i < sizeof all / sizeof *all; ++i) {
            for (int32_t storage = 0; storage < 2; ++storage, ++cases) run(&all[i], storage, set, 1 + cases % 3);
        }
        ends(set);
    }
    mmkg_token_table_close(NULL);
    printf("%d cases\n", cases);
    return 0;
}
