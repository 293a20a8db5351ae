/* The machine behind the stand-in: its memory, and streams of operations that run when something waits for them. */
#ifndef FAKE_MACHINE_H
#define FAKE_MACHINE_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#define API __attribute__((visibility("default")))
enum { OK = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NO_DEVICE = 100, INVALID_DEVICE = 101, INVALID_CONTEXT = 201,
       NO_BINARY = 209, INVALID_HANDLE = 400, NOT_FOUND = 500, LAUNCH_FAILED = 719, CAPTURE_UNSUPPORTED = 900, CAPTURE_INVALIDATED = 901 };
enum { GUARD = 64, MAX_PARAMETERS = 64, NAME = 128 };
#define GUARD_BYTE 0xA5
#define FRESH_BYTE 0xFF /* NaN in every floating-point type */

typedef struct Memory {
    unsigned char *start;
    size_t bytes;
    int pinned;
    struct Memory *next;
} Memory;

typedef struct Function {
    char name[NAME];
    int num_parameters;
    unsigned sizes[MAX_PARAMETERS];
} Function;

typedef struct RowCopy { /* CUDA_MEMCPY2D */
    size_t from_x, from_y;
    int from_type;
    const unsigned char *from_host;
    uint64_t from_device;
    void *from_array;
    size_t from_pitch, to_x, to_y;
    int to_type;
    unsigned char *to_host;
    uint64_t to_device;
    void *to_array;
    size_t to_pitch, width, height;
} RowCopy;

typedef enum Kind { COPY, FILL, LAUNCH, FREE, RECORD, WAIT, OWN } Kind; /* OWN: memory of a graph */

typedef struct Operation {
    Kind kind;
    void *to;
    const void *from;
    size_t bytes;
    unsigned char value;
    int owns_from; /* `from` is a copy of pageable memory */
    Function *function;
    unsigned grid[3], threads, shared;
    unsigned char *parameters;
    struct Event *event;
    uint64_t ticket;
    struct Operation *next;
} Operation;

typedef struct Graph {
    Operation *first, *last;
    int mode, spoilt; /* while it is captured: of the capture, and whether something was asked that spoils it */
} Graph;

typedef struct Stream {
    Operation *first, *last;
    Graph *capture;
    struct Stream *next;
} Stream;

typedef struct Event {
    Stream *stream;
    uint64_t recorded, done;
    double at_ms;
    int awaited; /* a stream may come to the wait for it when it is closed; then it stays, and is over */
} Event;

typedef int (*Launcher)(const char *name, const unsigned *grid, unsigned threads, unsigned shared, void **parameters);

extern pthread_mutex_t fake_lock; /* held by each function of the driver */
extern Stream *streams;           /* all but the default one */
extern Stream default_stream;
extern size_t memory_limit, memory_used;
extern int lost; /* the result that every call gives from now on */

/* The piece of memory that holds all of these bytes, or NULL; whether it is the GPU's; new memory, which holds NaN. */
Memory *memory_of(const void *at, size_t bytes);
int on_device(const void *at, size_t bytes);
void *get(size_t bytes, int pinned);
int release(void *start);

/* A stream of a handle, or NULL; putting an operation on it; running what it has, up to an event or (NULL) all. */
Stream *stream_of(void *handle);
int put(void *handle, Operation given);
int run_stream(Stream *stream, const Event *until);
int run_all(void);
int drop_graph(Graph *graph, int had_memory);
int trim_graphs(void);

#endif
