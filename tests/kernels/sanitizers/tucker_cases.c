/*
 * Every function of mmkg_tucker.h from plain C, for the sanitizers: arrays end where they must not be read or written
 * any further, and several threads share one core. Each product is compared with that of its row alone.
 */
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cases.h"
#include "mmkg_tucker.h"

static uint32_t draw(void) {
    state = state * 1664525u + 1013904223u;
    return state >> 16;
}

static float *numbers(int64_t count) {
    float *out = malloc((size_t)count * sizeof *out);
    for (int64_t i = 0; i < count; ++i) out[i] = (float)(int32_t)(draw() % 4001) / 2000.0f - 1.0f;
    return out;
}

/* From 2^-14 to 2 in float16, from 2^-112 to 2^2 in bfloat16. */
static void *stored(int64_t count, int32_t precision) {
    if (precision == MMKG_FP32) return numbers(count);
    uint16_t *out = malloc((size_t)count * sizeof *out);
    for (int64_t i = 0; i < count; ++i) out[i] = (uint16_t)(draw() % 0x4000u + 0x400u) | (uint16_t)(draw() % 2u << 15);
    return out;
}

struct question {
    const mmkg_tucker *tucker;
    int64_t width, batch;
    const float *context, *relation, *expected;
};

static void *apply_again(void *argument) {
    const struct question *q = argument;
    const size_t bytes = (size_t)(q->batch * q->width) * sizeof(float);
    float *out = malloc(bytes);
    for (int i = 0; i < 3; ++i) {
        check(mmkg_tucker_apply(q->tucker, q->context, q->relation, q->batch, out) == MMKG_OK, "mmkg_tucker_apply");
        check(memcmp(out, q->expected, bytes) == 0, "products of another thread");
    }
    free(out);
    return NULL;
}

static void run(int64_t width, int64_t batch, int32_t precision, int32_t set, int threads) {
    void *core = stored(width * width * width, precision), *relation_weight = stored(width * width, precision);
    float *shift = numbers(width);
    mmkg_pool *pool;
    mmkg_tucker *tucker;
    check(mmkg_pool_open(threads, &pool) == MMKG_OK, "mmkg_pool_open");
    check(mmkg_tucker_open(core, precision, relation_weight, shift, width, set, pool, &tucker) == MMKG_OK,
          "mmkg_tucker_open");
    check(mmkg_tucker_instruction_set(tucker) == set, "instruction set");
    free(relation_weight), free(shift);

    float *context = numbers(batch * width), *relation = numbers(batch * width);
    float *out = malloc((size_t)(batch * width) * sizeof *out), *alone = malloc((size_t)width * sizeof *alone);
    check(mmkg_tucker_apply(tucker, context, relation, batch, out) == MMKG_OK, "mmkg_tucker_apply");
    add_to_digest(out, (size_t)(batch * width) * sizeof *out);
    for (int64_t i = 0; i < batch; i += 1 + i / 8) {
        check(mmkg_tucker_apply(tucker, context + i * width, relation + i * width, 1, alone) == MMKG_OK, "one row");
        check(memcmp(alone, out + i * width, (size_t)width * sizeof *alone) == 0, "product of a row alone");
    }
    struct question q = {tucker, width, batch, context, relation, out};
    pthread_t callers[3];
    for (int i = 0; i < 3; ++i) check(pthread_create(&callers[i], NULL, apply_again, &q) == 0, "pthread_create");
    for (int i = 0; i < 3; ++i) pthread_join(callers[i], NULL);

    check(mmkg_tucker_apply(tucker, NULL, NULL, 0, NULL) == MMKG_OK, "no rows");
    check(mmkg_tucker_apply(tucker, NULL, relation, batch, out) == MMKG_BAD_ARGUMENT, "no context");
    check(mmkg_tucker_apply(tucker, context, relation, -1, out) == MMKG_BAD_ARGUMENT, "a negative batch");
    context[batch * width - 1] = NAN;
    check(mmkg_tucker_apply(tucker, context, relation, batch, out) == MMKG_BAD_ARGUMENT, "a context that is NaN");
    for (int64_t i = 0; i < batch * width; ++i) context[i] = 3e38f;
    check(mmkg_tucker_apply(tucker, context, context, batch, out) == MMKG_NAN, "products beyond float32");
    free(core), free(context), free(relation), free(out), free(alone);
    mmkg_tucker_close(tucker);
    mmkg_pool_close(pool);
}

static void run_wrong(void) {
    const float one = 1.0f;
    mmkg_pool *pool;
    mmkg_tucker *tucker;
    check(mmkg_pool_open(1, &pool) == MMKG_OK, "mmkg_pool_open");
    check(mmkg_tucker_open(&one, 0, &one, &one, 1, MMKG_BEST, pool, NULL) == MMKG_BAD_ARGUMENT, "no handle");
    check(mmkg_tucker_open(&one, 0, &one, &one, 1, MMKG_BEST, NULL, &tucker) == MMKG_BAD_ARGUMENT, "no pool");
    check(mmkg_tucker_open(NULL, 0, &one, &one, 1, MMKG_BEST, pool, &tucker) == MMKG_BAD_ARGUMENT, "no core");
    check(mmkg_tucker_open(&one, 3, &one, &one, 1, MMKG_BEST, pool, &tucker) == MMKG_BAD_ARGUMENT, "no precision");
    check(mmkg_tucker_open(&one, 0, &one, &one, 0, MMKG_BEST, pool, &tucker) == MMKG_BAD_ARGUMENT, "no width");
    check(mmkg_tucker_open(&one, 0, &one, &one, 1, 99, pool, &tucker) == MMKG_BAD_ARGUMENT, "no instruction set");
    check(mmkg_tucker_apply(NULL, &one, &one, 1, NULL) == MMKG_BAD_ARGUMENT, "no core to apply");
    mmkg_pool_close(pool);
    mmkg_tucker_close(NULL);
}

int main(void) {
    static const int32_t sets[] = {MMKG_PORTABLE, MMKG_AVX2, MMKG_AVX512, MMKG_NEON}; /* those with code of their own */
    static const int64_t widths[] = {1, 2, 3, 5, 16, 17, 31, 33, 64}, batches[] = {1, 14, 400, 7, 2, 40, 3, 25, 12};
    int cases = 0;
    for (size_t at = 0; at < sizeof sets / sizeof *sets; ++at) {
        const int32_t set = sets[at];
        if (!begins(set)) continue;
        for (size_t i = 0; i < sizeof widths / sizeof *widths; ++i) {
            for (int32_t precision = MMKG_FP32; precision <= MMKG_FP16; ++precision, ++cases) {
                run(widths[i], batches[i], precision, set, 1 + cases % 3);
            }
        }
        ends(set);
    }
    run_wrong();
    printf("%d cases\n", cases);
    return 0;
}
