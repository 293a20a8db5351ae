/*
 * A stand-in for NVIDIA's driver library, for tests on machines without a GPU. Memory of the "GPU" is memory of the
 * host; a launch calls back into the test, which runs the kernel's source in Triton's interpreter on that memory.
 *
 * Strict where the real one lets mistakes pass: work on a stream does not run before something waits for it, so a
 * missing wait shows; new memory holds NaN; writes past the ends of memory and memory left behind are counted; copies
 * are checked against the sizes of what they touch. Two things are simpler: any stream runs what it waits for and
 * nothing else, and one thing runs at a time.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine.h"

static int failing_result, failing_after;
static char failing[NAME];
static _Thread_local void *contexts[8];
static _Thread_local int depth;
static int the_context;
static _Thread_local int interaction; /* CU_STREAM_CAPTURE_MODE of the thread: 0 global, 1 of the thread, 2 relaxed */

/* ---- what tests set and ask ---- */
/* The call of `function` after `after` others gives `result`; results of 700 and more, and 214, stay for all calls. */
API void fake_fail(const char *function, int after, int result) {
    snprintf(failing, sizeof failing, "%s", function);
    failing_after = after;
    failing_result = result;
}
API void fake_recover(void) { lost = 0, failing[0] = '\0'; }
API int fake_context_depth(void) { return depth; }

static int number(const char *variable, int otherwise) {
    const char *text = getenv(variable);
    return text ? atoi(text) : otherwise;
}

static int failure(const char *function) {
    if (lost) return lost;
    if (strcmp(failing, function) != 0 || failing_after-- > 0) return OK;
    failing[0] = '\0';
    if (failing_result >= 700 || failing_result == 214) lost = failing_result;
    return failing_result;
}
#define ENTER(function)                                        \
    pthread_mutex_lock(&fake_lock);                                 \
    int result = failure(function);                            \
    if (result == OK && depth == 0) result = INVALID_CONTEXT;  \
    if (result != OK) return pthread_mutex_unlock(&fake_lock), result
/* What may be unsafe while a thread captures for all (mode 0), unless this thread cares for its own captures only. */
static int unsafe(void) {
    int result = OK;
    for (Stream *s = streams; s; s = s->next)
        if (s->capture && s->capture->mode == 0 && interaction == 0) s->capture->spoilt = 1, result = CAPTURE_UNSUPPORTED;
    return result;
}
#define UNSAFE(function) \
    ENTER(function);     \
    if ((result = unsafe()) != OK) return pthread_mutex_unlock(&fake_lock), result
#define LEAVE(value) return result = (value), pthread_mutex_unlock(&fake_lock), result

/* ---- the driver's functions ---- */
API int cuInit(unsigned flags) { return flags ? INVALID_VALUE : number("FAKE_CUDA_DEVICES", 1) ? OK : NO_DEVICE; }
API int cuDriverGetVersion(int *v) { return *v = number("FAKE_CUDA_VERSION", 13000), OK; }
API int cuGetErrorName(int r, const char **name) {
    *name = r == OUT_OF_MEMORY ? "CUDA_ERROR_OUT_OF_MEMORY" : r == NO_DEVICE ? "CUDA_ERROR_NO_DEVICE"
            : r == 214 ? "CUDA_ERROR_ECC_UNCORRECTABLE" : r == LAUNCH_FAILED ? "CUDA_ERROR_LAUNCH_FAILED"
            : "CUDA_ERROR";
    return OK;
}
API int cuGetErrorString(int r, const char **text) { return *text = "said by the stand-in", (void)r, OK; }
API int cuDeviceGetCount(int *n) { return *n = number("FAKE_CUDA_DEVICES", 1), OK; }
API int cuDeviceGet(int *d, int i) { return *d = i, i < number("FAKE_CUDA_DEVICES", 1) ? OK : INVALID_DEVICE; }
API int cuDeviceGetName(char *name, int bytes, int d) {
    return snprintf(name, bytes, "stand-in %d, no GPU", d), OK;
}
API int cuDeviceGetAttribute(int *value, int which, int d) {
    (void)d;
    int capability = number("FAKE_CUDA_CAPABILITY", 90);
    switch (which) {
    case 16: return *value = number("FAKE_CUDA_MULTIPROCESSORS", 4), OK;
    case 38: return *value = 1 << 20, OK;
    case 75: return *value = capability / 10, OK;
    case 76: return *value = capability % 10, OK;
    case 97: return *value = 232448, OK;
    case 115: return *value = number("FAKE_CUDA_POOLS", 1), OK;
    default: return INVALID_VALUE;
    }
}
API int cuDeviceTotalMem_v2(size_t *bytes, int d) { return *bytes = memory_limit, (void)d, OK; }
API int cuDevicePrimaryCtxRetain(void **context, int d) {
    return *context = &the_context, (void)d, failure("cuDevicePrimaryCtxRetain");
}
API int cuDevicePrimaryCtxRelease_v2(int d) { return (void)d, OK; }
API int cuCtxPushCurrent_v2(void *context) {
    if (depth == 8) return INVALID_CONTEXT;
    return contexts[depth++] = context, OK;
}
API int cuCtxPopCurrent_v2(void **context) { return depth ? (*context = contexts[--depth], OK) : INVALID_CONTEXT; }
API int cuMemGetInfo_v2(size_t *unused, size_t *all) {
    ENTER("cuMemGetInfo");
    *all = memory_limit, *unused = memory_limit - memory_used;
    LEAVE(OK);
}
API int cuMemAlloc_v2(uint64_t *at, size_t bytes) {
    UNSAFE("cuMemAlloc");
    *at = (uint64_t)(uintptr_t)get(bytes, 0);
    LEAVE(*at ? OK : OUT_OF_MEMORY);
}
API int cuMemFree_v2(uint64_t at) {
    UNSAFE("cuMemFree");
    if ((result = run_all()) == OK) result = release((void *)(uintptr_t)at);
    LEAVE(result);
}
API int cuMemHostAlloc(void **at, size_t bytes, unsigned flags) {
    UNSAFE("cuMemHostAlloc");
    (void)flags, *at = get(bytes, 1);
    LEAVE(OK);
}
API int cuMemFreeHost(void *at) {
    UNSAFE("cuMemFreeHost");
    LEAVE(release(at));
}
API int cuMemPoolCreate(void **pool, const void *properties) {
    const int *numbers = properties; /* pinned memory, and where: on the device */
    return *pool = &the_context, numbers[0] == 1 && numbers[2] == 1 ? OK : INVALID_VALUE;
}
API int cuMemPoolDestroy(void *pool) { return (void)pool, OK; }
API int cuMemPoolSetAttribute(void *pool, int which, void *value) {
    return (void)pool, (void)value, which == 4 ? OK : INVALID_VALUE;
}
API int cuMemAllocFromPoolAsync(uint64_t *at, size_t bytes, void *pool, void *stream) {
    ENTER("cuMemAllocFromPoolAsync");
    (void)pool;
    if (!stream_of(stream)) LEAVE(INVALID_HANDLE);
    *at = (uint64_t)(uintptr_t)get(bytes, 0);
    if (*at && stream_of(stream)->capture)
        LEAVE(put(stream, (Operation){.kind = OWN, .to = (void *)(uintptr_t)*at, .bytes = bytes}));
    LEAVE(*at ? OK : OUT_OF_MEMORY);
}
API int cuMemFreeAsync(uint64_t at, void *stream) {
    ENTER("cuMemFreeAsync");
    Stream *s = stream_of(stream);
    if (s && s->capture) LEAVE(OK); /* its graph frees it */
    LEAVE(put(stream, (Operation){.kind = FREE, .to = (void *)(uintptr_t)at}));
}
API int cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t bytes, void *stream) {
    ENTER("cuMemcpyHtoDAsync");
    if (!on_device((void *)(uintptr_t)to, bytes)) LEAVE(INVALID_VALUE);
    Operation o = {.kind = COPY, .to = (void *)(uintptr_t)to, .from = from, .bytes = bytes};
    if (!memory_of(from, bytes)) o.from = memcpy(malloc(bytes), from, bytes), o.owns_from = 1; /* pageable: read now */
    LEAVE(put(stream, o));
}
API int cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t bytes, void *stream) {
    ENTER("cuMemcpyDtoHAsync");
    if (!on_device((void *)(uintptr_t)from, bytes)) LEAVE(INVALID_VALUE);
    LEAVE(put(stream, (Operation){.kind = COPY, .to = to, .from = (void *)(uintptr_t)from, .bytes = bytes}));
}
API int cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t bytes, void *stream) {
    ENTER("cuMemcpyDtoDAsync");
    if (!on_device((void *)(uintptr_t)from, bytes) || !on_device((void *)(uintptr_t)to, bytes)) LEAVE(INVALID_VALUE);
    Operation o = {.kind = COPY, .to = (void *)(uintptr_t)to, .from = (void *)(uintptr_t)from, .bytes = bytes};
    LEAVE(put(stream, o));
}
/* Row by row; to the device only. */
API int cuMemcpy2DAsync_v2(const RowCopy *c, void *stream) {
    ENTER("cuMemcpy2DAsync");
    if (c->to_type != 2 || c->from_x || c->from_y || c->to_x || c->to_y) LEAVE(INVALID_VALUE);
    if (c->width > c->from_pitch || c->width > c->to_pitch) LEAVE(INVALID_VALUE);
    unsigned char *to = (unsigned char *)(uintptr_t)c->to_device;
    const unsigned char *from = c->from_type == 1 ? c->from_host : (unsigned char *)(uintptr_t)c->from_device;
    size_t last = c->height ? c->height - 1 : 0;
    if (!on_device(to, last * c->to_pitch + c->width)) LEAVE(INVALID_VALUE);
    if (c->from_type == 2 && !on_device(from, last * c->from_pitch + c->width)) LEAVE(INVALID_VALUE);
    for (size_t row = 0; row < c->height && result == OK; ++row, to += c->to_pitch, from += c->from_pitch) {
        Operation o = {.kind = COPY, .to = to, .from = from, .bytes = c->width};
        if (c->from_type == 1 && !memory_of(from, c->width)) {
            o.from = memcpy(malloc(c->width), from, c->width);
            o.owns_from = 1;
        }
        result = put(stream, o);
    }
    LEAVE(result);
}
API int cuMemsetD8Async(uint64_t to, unsigned char value, size_t bytes, void *stream) {
    ENTER("cuMemsetD8Async");
    if (!on_device((void *)(uintptr_t)to, bytes)) LEAVE(INVALID_VALUE);
    LEAVE(put(stream, (Operation){.kind = FILL, .to = (void *)(uintptr_t)to, .value = value, .bytes = bytes}));
}
API int cuStreamCreate(void **stream, unsigned flags) {
    ENTER("cuStreamCreate");
    Stream *made = calloc(1, sizeof *made);
    made->next = streams, streams = made, *stream = made;
    LEAVE(flags == 1 ? OK : INVALID_VALUE);
}
API int cuStreamDestroy_v2(void *stream) {
    ENTER("cuStreamDestroy");
    for (Stream **at = &streams; *at; at = &(*at)->next)
        if (*at == stream) {
            Stream *closed = *at;
            result = run_stream(closed, NULL);
            *at = closed->next, free(closed);
            LEAVE(result);
        }
    LEAVE(INVALID_HANDLE);
}
API int cuStreamSynchronize(void *stream) {
    ENTER("cuStreamSynchronize");
    Stream *s = stream_of(stream);
    if (!s) LEAVE(INVALID_HANDLE);
    if (s->capture) LEAVE(CAPTURE_UNSUPPORTED);
    LEAVE(run_stream(s, NULL));
}
API int cuStreamWaitEvent(void *stream, void *event, unsigned flags) {
    ENTER("cuStreamWaitEvent");
    (void)flags;
    ((Event *)event)->awaited = 1;
    LEAVE(put(stream, (Operation){.kind = WAIT, .event = event}));
}
API int cuStreamIsCapturing(void *stream, int *status) {
    ENTER("cuStreamIsCapturing");
    Stream *s = stream_of(stream);
    *status = s && s->capture ? 1 : 0;
    LEAVE(s ? OK : INVALID_HANDLE);
}
API int cuStreamBeginCapture_v2(void *stream, int mode) {
    ENTER("cuStreamBeginCapture");
    Stream *s = stream_of(stream);
    if (!s || s == &default_stream || s->capture || mode < 0 || mode > 2) LEAVE(INVALID_VALUE);
    s->capture = calloc(1, sizeof *s->capture);
    s->capture->mode = mode;
    LEAVE(OK);
}
API int cuThreadExchangeStreamCaptureMode(int *mode) {
    int before = interaction;
    if (*mode < 0 || *mode > 2) return INVALID_VALUE;
    interaction = *mode, *mode = before;
    return OK;
}
API int cuStreamEndCapture(void *stream, void **graph) {
    ENTER("cuStreamEndCapture");
    Stream *s = stream_of(stream);
    if (!s || !s->capture) LEAVE(INVALID_VALUE);
    *graph = s->capture, s->capture = NULL;
    if (((Graph *)*graph)->spoilt) {
        drop_graph(*graph, 0), *graph = NULL;
        LEAVE(CAPTURE_INVALIDATED);
    }
    LEAVE(OK);
}
API int fake_capture_mode(void) { return interaction; }
/* The "executable" takes the operations of the graph, which is empty afterwards. */
API int cuGraphInstantiateWithFlags(void **made, void *graph, unsigned long long flags) {
    ENTER("cuGraphInstantiate");
    Graph *copy = malloc(sizeof *copy);
    *copy = *(Graph *)graph, ((Graph *)graph)->first = NULL, *made = copy;
    LEAVE(flags == 0 ? OK : INVALID_VALUE);
}
API int cuGraphLaunch(void *graph, void *stream) {
    ENTER("cuGraphLaunch");
    for (Operation *o = ((Graph *)graph)->first; o && result == OK; o = o->next) {
        Operation again = *o;
        again.owns_from = 0;
        if (o->parameters) {
            size_t bytes = (size_t)o->function->num_parameters * 128;
            again.parameters = memcpy(malloc(bytes), o->parameters, bytes);
        }
        result = put(stream, again);
    }
    LEAVE(result);
}
API int cuGraphDestroy(void *graph) {
    ENTER("cuGraphDestroy");
    LEAVE(drop_graph(graph, 0));
}
API int cuGraphExecDestroy(void *graph) {
    ENTER("cuGraphExecDestroy");
    LEAVE(drop_graph(graph, 1));
}
API int cuDeviceGraphMemTrim(int d) {
    ENTER("cuDeviceGraphMemTrim");
    (void)d;
    LEAVE(trim_graphs());
}
API int cuEventCreate(void **event, unsigned flags) {
    ENTER("cuEventCreate");
    *event = calloc(1, sizeof(Event));
    LEAVE(flags == 0 ? OK : INVALID_VALUE);
}
API int cuEventDestroy_v2(void *event) {
    ENTER("cuEventDestroy");
    Event *e = event;
    if (e->stream && stream_of(e->stream == &default_stream ? NULL : e->stream)) result = run_stream(e->stream, e);
    if (e->awaited) e->stream = NULL;
    else free(e);
    LEAVE(result);
}
API int cuEventRecord(void *event, void *stream) {
    ENTER("cuEventRecord");
    Event *e = event;
    e->stream = stream_of(stream);
    LEAVE(put(stream, (Operation){.kind = RECORD, .event = e, .ticket = ++e->recorded}));
}
API int cuEventSynchronize(void *event) {
    ENTER("cuEventSynchronize");
    Event *e = event;
    LEAVE(e->stream ? run_stream(e->stream, e) : OK);
}
API int cuEventElapsedTime(float *ms, void *first, void *last) {
    ENTER("cuEventElapsedTime");
    *ms = (float)(((Event *)last)->at_ms - ((Event *)first)->at_ms);
    LEAVE(OK);
}
/* "Code" of the stand-in: FAKE name number-of-parameters sizes... in text. */
API int cuModuleLoadData(void **module, const void *code) {
    ENTER("cuModuleLoadData");
    if (memcmp(code, "FAKE ", 5) != 0) LEAVE(NO_BINARY);
    Function *made = calloc(1, sizeof *made);
    int used = 0;
    const char *text = code;
    if (sscanf(text, "FAKE %127s %d%n", made->name, &made->num_parameters, &used) != 2 ||
        made->num_parameters > MAX_PARAMETERS) { free(made); LEAVE(NO_BINARY); }
    for (int i = 0, more; i < made->num_parameters; ++i) {
        text += used;
        if (sscanf(text, " %u%n", &made->sizes[i], &more) != 1) { free(made); LEAVE(NO_BINARY); }
        used = more;
    }
    *module = made;
    LEAVE(OK);
}
API int cuModuleUnload(void *module) {
    ENTER("cuModuleUnload");
    free(module);
    LEAVE(OK);
}
API int cuModuleGetFunction(void **function, void *module, const char *symbol) {
    ENTER("cuModuleGetFunction");
    (void)symbol, *function = module;
    LEAVE(OK);
}
API int cuFuncSetAttribute(void *function, int which, int value) {
    ENTER("cuFuncSetAttribute");
    (void)function;
    LEAVE(which == 8 && value >= 0 ? OK : INVALID_VALUE);
}
API int cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, void *function, int threads, size_t shared) {
    ENTER("cuOccupancyMaxActiveBlocksPerMultiprocessor");
    (void)function, (void)threads, (void)shared, *blocks = 1;
    LEAVE(OK);
}
API int cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned tx, unsigned ty, unsigned tz,
                       unsigned shared, void *stream, void **parameters, void **extra) {
    ENTER("cuLaunchKernel");
    Function *f = function;
    if (ty != 1 || tz != 1 || extra || !gx || !gy || !gz) LEAVE(INVALID_VALUE);
    Operation o = {.kind = LAUNCH, .function = f, .grid = {gx, gy, gz}, .threads = tx, .shared = shared};
    o.parameters = calloc((size_t)f->num_parameters + 1, 128);
    for (int i = 0; i < f->num_parameters; ++i) memcpy(o.parameters + 128 * i, parameters[i], f->sizes[i]);
    LEAVE(put(stream, o));
}
/* What the real one refuses (cuda.h), and then: address, type, rank, five extents, five strides, five box extents. */
API int cuTensorMapEncodeTiled(uint64_t *map, int type, uint32_t rank, void *address, const uint64_t *extents,
                               const uint64_t *strides, const uint32_t *box, const uint32_t *steps, int interleave,
                               int swizzle, int promotion, int fill) {
    (void)swizzle, (void)promotion;
    if ((uintptr_t)map % 64 || (uintptr_t)address % 16) return INVALID_VALUE;
    if (rank < 1 || rank > 5 || interleave || fill) return INVALID_VALUE;
    memset(map, 0, 128);
    map[0] = (uint64_t)(uintptr_t)address, map[1] = (uint64_t)type, map[2] = rank;
    for (uint32_t i = 0; i < rank; ++i) {
        if (extents[i] == 0 || extents[i] > (uint64_t)1 << 32) return INVALID_VALUE;
        if (box[i] == 0 || box[i] > 256 || steps[i] != 1) return INVALID_VALUE;
        if (i + 1 < rank && (strides[i] % 16 || strides[i] >= (uint64_t)1 << 40)) return INVALID_VALUE;
        map[3 + i] = extents[i];
        if (i + 1 < rank) map[8 + i] = strides[i];
    }
    return OK;
}
