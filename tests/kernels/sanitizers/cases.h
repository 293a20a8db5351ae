/*
 * What the programs of this folder share: each runs its cases on every instruction set, and prints for each set a digest
 * of all that the library gave, which is the same wherever the bits are.
 */
#ifndef CASES_H
#define CASES_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "mmkg.h"

static void check(int holds, const char *what) {
    if (holds) return;
    fprintf(stderr, "failed: %s (%s)\n", what, mmkg_last_error());
    exit(1);
}

static uint32_t state = 1; /* of the numbers that are drawn: the same for every set */
static uint64_t digest;

/* In whatever order threads come, hence the sum. FNV-1a of each array. */
static void add_to_digest(const void *array, size_t bytes) {
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < bytes; ++i) hash = (hash ^ ((const uint8_t *)array)[i]) * 1099511628211u;
    __atomic_fetch_add(&digest, hash, __ATOMIC_RELAXED);
}

/* Whether this processor has the set; if so its cases begin. */
static int begins(int32_t set) {
    state = 1;
    digest = 0;
    return mmkg_has_instruction_set(set);
}

static void ends(int32_t set) { printf("%s %016llx\n", mmkg_instruction_set_name(set), (unsigned long long)digest); }

#endif
