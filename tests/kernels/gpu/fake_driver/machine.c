#define _GNU_SOURCE
#include "machine.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Recursive: Python may collect an array, and so free memory, in the middle of a kernel. */
pthread_mutex_t fake_lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
Stream default_stream, *streams;
size_t memory_limit = (size_t)1 << 30, memory_used;
int lost;
static Memory *memories;
static Operation *left; /* memory of graphs that are gone, which stays with the driver until it is trimmed */
static Launcher launcher;
static long damaged, launches;

/* ---- what tests set and ask ---- */
API void fake_set_launcher(Launcher given) { launcher = given; }
API void fake_set_memory(size_t bytes) { memory_limit = bytes; }
API long fake_damaged(void) { return damaged; }
API long fake_launches(void) { return launches; }

/* ---- memory ---- */
Memory *memory_of(const void *at, size_t bytes) {
    for (Memory *m = memories; m; m = m->next)
        if ((const unsigned char *)at >= m->start && (const unsigned char *)at + bytes <= m->start + m->bytes) return m;
    return NULL;
}
int on_device(const void *at, size_t bytes) {
    Memory *m = memory_of(at, bytes);
    return m && !m->pinned;
}
void *get(size_t bytes, int pinned) {
    if (!pinned && memory_used + bytes > memory_limit) return NULL;
    Memory *m = malloc(sizeof *m);
    unsigned char *block = aligned_alloc(256, (bytes + 2 * 256 + 255) / 256 * 256);
    m->start = block + 256, m->bytes = bytes, m->pinned = pinned, m->next = memories, memories = m;
    memset(m->start - GUARD, GUARD_BYTE, GUARD);
    memset(m->start, FRESH_BYTE, bytes);
    memset(m->start + bytes, GUARD_BYTE, GUARD);
    if (!pinned) memory_used += bytes;
    return m->start;
}
int release(void *start) {
    for (Memory **at = &memories; *at; at = &(*at)->next) {
        Memory *m = *at;
        if (m->start != start) continue;
        for (int i = 0; i < GUARD; ++i)
            if (m->start[-1 - i] != GUARD_BYTE || m->start[m->bytes + i] != GUARD_BYTE) { ++damaged; break; }
        *at = m->next;
        if (!m->pinned) memory_used -= m->bytes;
        memset(m->start, FRESH_BYTE, m->bytes);
        free(m->start - 256), free(m);
        return OK;
    }
    return INVALID_VALUE;
}

/* ---- what streams run ---- */
static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e3 + t.tv_nsec * 1e-6;
}
static int run_one(Operation *o) {
    void *places[MAX_PARAMETERS];
    unsigned at = 0;
    switch (o->kind) {
    case COPY: memmove(o->to, o->from, o->bytes); return OK;
    case FILL: memset(o->to, o->value, o->bytes); return OK;
    case FREE: return release(o->to);
    case OWN: memset(o->to, FRESH_BYTE, o->bytes); return OK;
    case RECORD: o->event->done = o->ticket, o->event->at_ms = now_ms(); return OK;
    case WAIT: return o->event->stream ? run_stream(o->event->stream, o->event) : OK;
    case LAUNCH:
        for (int i = 0; i < o->function->num_parameters; ++i) places[i] = o->parameters + at, at += 128;
        ++launches;
        return launcher ? launcher(o->function->name, o->grid, o->threads, o->shared, places) : NOT_FOUND;
    }
    return INVALID_VALUE;
}
static void drop(Operation *o) {
    if (o->owns_from) free((void *)o->from);
    free(o->parameters), free(o);
}
int run_stream(Stream *stream, const Event *until) {
    while (stream->first && !(until && until->done >= until->recorded)) {
        Operation *o = stream->first;
        stream->first = o->next;
        if (!stream->first) stream->last = NULL;
        int result = run_one(o);
        drop(o);
        if (result != OK) return lost = result;
    }
    return OK;
}
int run_all(void) {
    int result = run_stream(&default_stream, NULL);
    for (Stream *s = streams; s && result == OK; s = s->next) result = run_stream(s, NULL);
    return result;
}
Stream *stream_of(void *handle) {
    if (!handle) return &default_stream;
    for (Stream *s = streams; s; s = s->next)
        if (s == handle) return s;
    return NULL;
}
int put(void *handle, Operation given) {
    Stream *stream = stream_of(handle);
    if (!stream) return free(given.parameters), INVALID_HANDLE;
    Operation *o = malloc(sizeof *o);
    *o = given, o->next = NULL;
    Operation **last = stream->capture ? &stream->capture->last : &stream->last;
    Operation **first = stream->capture ? &stream->capture->first : &stream->first;
    if (*last) (*last)->next = o;
    else *first = o;
    *last = o;
    return OK;
}

/* Runs what all streams have, frees included, and gives the bytes that are still allocated on the GPU. */
API size_t fake_memory_used(void) {
    pthread_mutex_lock(&fake_lock);
    run_all();
    size_t used = memory_used;
    return pthread_mutex_unlock(&fake_lock), used;
}
int drop_graph(Graph *graph, int had_memory) {
    for (Operation *o = graph->first, *next; o; o = next) {
        next = o->next;
        if (o->kind == OWN && had_memory) {
            o->next = left, left = o;
            continue;
        }
        if (o->kind == OWN) release(o->to);
        drop(o);
    }
    return free(graph), OK;
}
int trim_graphs(void) {
    int result = OK;
    for (Operation *o; result == OK && (o = left); drop(o)) left = o->next, result = release(o->to);
    return result;
}
