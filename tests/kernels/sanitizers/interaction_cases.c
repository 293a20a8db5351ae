/*
 * Every function of mmkg_link.h from plain C, for the sanitizers: arrays end where they must not be read or written any
 * further, and several threads share one interaction. The scores of each pair are compared with those of the pair alone.
 */
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cases.h"
#include "mmkg_link.h"

static float *numbers(int64_t count) {
    float *out = malloc((size_t)count * sizeof *out);
    for (int64_t i = 0; i < count; ++i) {
        state = state * 1664525u + 1013904223u;
        out[i] = (float)(int32_t)((state >> 16) % 4001) / 2000.0f - 1.0f;
    }
    return out;
}

/* Numbers of both signs between 1/2 and 2, as binary16. */
static uint16_t *halves(int64_t count) {
    uint16_t *out = malloc((size_t)count * sizeof *out);
    for (int64_t i = 0; i < count; ++i) {
        state = state * 1664525u + 1013904223u;
        out[i] = (uint16_t)((state >> 16 & 0x87FFu) + 0x3800u);
    }
    return out;
}

enum { PIECES = 6 };

struct case_ {
    int64_t length, text_unit, text, image_unit, fused, mentions, entities;
};

struct question {
    const mmkg_interaction *interaction;
    struct case_ sizes;
    mmkg_mention_pieces mentions;
    mmkg_entity_pieces entities;
    const float *expected; /* [3, mentions, entities] */
};

static void score(const struct question *q, const int64_t *candidates, int64_t count, float *scores) {
    const int64_t unit = q->sizes.mentions * count;
    check(mmkg_interaction_scores(q->interaction, &q->mentions, q->sizes.mentions, &q->entities, q->sizes.entities,
                                  candidates, count, scores, scores + unit, scores + 2 * unit) == MMKG_OK,
          "mmkg_interaction_scores");
}

static void *score_again(void *argument) {
    const struct question *q = argument;
    const size_t bytes = (size_t)(3 * q->sizes.mentions * q->sizes.entities) * sizeof(float);
    float *scores = malloc(bytes);
    for (int i = 0; i < 2; ++i) {
        score(q, NULL, q->sizes.entities, scores);
        check(memcmp(scores, q->expected, bytes) == 0, "scores of another thread");
    }
    free(scores);
    return NULL;
}

static mmkg_dual_weights dual(int64_t width) {
    const mmkg_dual_weights out = {numbers(width), numbers(width), numbers(width), numbers(width), 0.3f, 0.7f};
    return out;
}

static void free_dual(const mmkg_dual_weights *w) {
    free((void *)w->to_gate), free((void *)w->context), free((void *)w->scale), free((void *)w->shift);
}

static void run(const struct case_ *s, int32_t dtype, int32_t logits, int32_t set, int threads) {
    mmkg_interaction_weights weights = {s->length, s->text_unit, s->text, s->image_unit, s->fused, 1e-5f,
                                        numbers(s->text_unit), numbers(s->text_unit),
                                        dual(s->image_unit), dual(s->image_unit)};
    mmkg_pool *pool;
    mmkg_interaction *interaction;
    check(mmkg_pool_open(threads, &pool) == MMKG_OK, "mmkg_pool_open");
    check(mmkg_interaction_open(&weights, dtype, logits, set, pool, &interaction) == MMKG_OK, "mmkg_interaction_open");
    check(mmkg_interaction_instruction_set(interaction) == set, "instruction set");
    free((void *)weights.context_weight), free((void *)weights.context_bias);
    free_dual(&weights.by_entity), free_dual(&weights.by_mention);

    const int64_t tokens = s->length * s->text_unit, images = 3 * s->image_unit;
    const int64_t of_mention[PIECES] = {tokens, tokens, s->text, images, images, s->fused};
    const int64_t of_entity[PIECES] = {tokens, s->text_unit, s->text, images, images, s->fused};
    struct question q = {interaction, *s, {0}, {0}, NULL};
    const float **mention = &q.mentions.keys;
    const void **entity = &q.entities.queries;
    for (int i = 0; i < PIECES; ++i) {
        mention[i] = numbers(s->mentions * of_mention[i]);
        if (dtype == MMKG_ENTITY_FLOAT16) {
            entity[i] = halves(s->entities * of_entity[i]);
        } else {
            entity[i] = numbers(s->entities * of_entity[i]);
        }
    }
    const int64_t pairs = s->mentions * s->entities;
    float *scores = malloc((size_t)(3 * pairs) * sizeof *scores);
    float *alone = malloc((size_t)(3 * s->mentions) * sizeof *alone);
    q.expected = scores;
    score(&q, NULL, s->entities, scores);
    add_to_digest(scores, (size_t)(3 * pairs) * sizeof *scores);
    for (int64_t id = 0; id < s->entities; ++id) {
        score(&q, &id, 1, alone);
        for (int64_t i = 0; i < 3 * s->mentions; ++i) {
            check(alone[i] == scores[i * s->entities + id] && isfinite(alone[i]), "scores of an entity alone");
        }
    }
    pthread_t callers[3];
    for (int i = 0; i < 3; ++i) check(pthread_create(&callers[i], NULL, score_again, &q) == 0, "pthread_create");
    for (int i = 0; i < 3; ++i) pthread_join(callers[i], NULL);
    const int64_t wrong = s->entities;
    check(mmkg_interaction_scores(interaction, &q.mentions, s->mentions, &q.entities, s->entities, &wrong, 1, alone, alone,
                                  alone) == MMKG_BAD_ARGUMENT,
          "a candidate out of range");
    ((float *)q.mentions.keys)[0] = NAN;
    check(mmkg_interaction_scores(interaction, &q.mentions, s->mentions, &q.entities, s->entities, NULL, 0, scores,
                                  scores + pairs, scores + 2 * pairs) == MMKG_NAN,
          "a key that is NaN");
    for (int i = 0; i < PIECES; ++i) free((void *)mention[i]), free((void *)entity[i]);
    free(scores), free(alone);
    mmkg_interaction_close(interaction);
    mmkg_pool_close(pool);
}

int main(void) {
    static const int32_t sets[] = {MMKG_PORTABLE, MMKG_AVX2, MMKG_AVX512_VNNI, MMKG_NEON}; /* those with code of their own */
    static const struct case_ all[] = {
        {1, 1, 1, 1, 1, 1, 1},      {3, 5, 6, 7, 2, 2, 23},    {8, 16, 9, 8, 8, 17, 5},
        {9, 17, 30, 10, 12, 3, 60}, {40, 96, 70, 24, 24, 2, 9}, {77, 3, 8, 4, 5, 2, 3},
    };
    int cases = 0;
    for (size_t at = 0; at < sizeof sets / sizeof *sets; ++at) {
        const int32_t set = sets[at];
        if (!begins(set)) continue;
        for (size_t i = 0; i < sizeof all / sizeof *all; ++i) {
            for (int32_t kind = 0; kind < 4; ++kind, ++cases) run(&all[i], kind / 2, kind % 2, set, 1 + cases % 3);
        }
        ends(set);
    }
    mmkg_interaction_close(NULL);
    printf("%d cases\n", cases);
    return 0;
}
