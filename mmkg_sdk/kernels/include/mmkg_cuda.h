/*
 * mmkg_cuda.h: the kernels of mmkg.h and its companions on an NVIDIA GPU. Plain C; status codes and mmkg_last_error()
 * are those of mmkg.h.
 *
 * NOT RUN ON A GPU YET. The kernels are compiled for GPUs and their logic is tested on CPUs (Triton's interpreter
 * behind a stand-in for the driver); no part of this file has executed on hardware.
 *
 * NVIDIA's driver library is opened when it is first needed: the path in the variable MMKG_CUDA_DRIVER, else
 * libcuda.so.1. Neither a CUDA toolkit nor a runtime library takes part. A missing or too old driver, no GPU, or none
 * that there are kernels for, is MMKG_FAILED, and mmkg_last_error() names it. Nothing falls back to the CPU.
 *
 * Streams are CUstream handles as numbers, 0 is the legacy default stream; work is ordered on them and not waited for
 * unless a function says so. Addresses of GPU memory are CUdeviceptr. All functions may be called from several threads
 * at once with the same handles, except that closing one must come last. The GPU's context is made current for the time
 * of a call only. After a fork, handles of the parent are of no use to the child, which may only close them.
 *
 * An error that leaves the GPU of no use to this process (an invalid address, an uncorrectable memory error, a GPU that
 * is gone) fails the call that meets it, and every later call with the same handle at once, with its text.
 */
#ifndef MMKG_CUDA_H
#define MMKG_CUDA_H

#include "mmkg.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mmkg_gpu mmkg_gpu; /* one GPU and the kernels for it */

/* Where arguments of functions that take them from either side lie. */
typedef enum mmkg_place { MMKG_ON_HOST = 0, MMKG_ON_GPU = 1 } mmkg_place;

typedef struct mmkg_gpu_facts {
    char name[256];
    int32_t major, minor; /* compute capability */
    int32_t multiprocessors;
    int32_t driver_version; /* of CUDA: 13000 for 13.0 */
    int64_t memory_bytes;
    int64_t l2_bytes;
    int64_t shared_bytes; /* of shared memory that a block may have */
} mmkg_gpu_facts;

/* How many GPUs the driver shows. */
MMKG_API mmkg_status mmkg_gpu_count(int32_t *count);

/*
 * What there is code for in an image (see mmkg_gpu_open), checked as a whole: "8.0, 8.6, 9.0" are compute capabilities.
 * Needs neither a driver nor a GPU.
 *
 *   text   `size` bytes, written with a NUL at the end
 */
MMKG_API mmkg_status mmkg_gpu_image_targets(const void *image, int64_t bytes, char *text, int64_t size);

/*
 * Opens a GPU, by its number in the driver's order. Kernels are loaded when they are first used.
 *
 *   image   mmkg_cuda.bin, `bytes` of it, read where it is: it must stay, unchanged, until the GPU is closed
 */
MMKG_API mmkg_status mmkg_gpu_open(int32_t device, const void *image, int64_t bytes, mmkg_gpu **gpu);
MMKG_API void mmkg_gpu_close(mmkg_gpu *gpu); /* NULL is allowed */
MMKG_API mmkg_status mmkg_gpu_describe(const mmkg_gpu *gpu, mmkg_gpu_facts *facts);

/* Whether the image has a kernel of this name for this GPU: 1 or 0. */
MMKG_API int32_t mmkg_gpu_has_kernel(const mmkg_gpu *gpu, const char *name);

/* MMKG_OK, or why nothing can run any more; asks the driver nothing. */
MMKG_API mmkg_status mmkg_gpu_usable(const mmkg_gpu *gpu);

/*
 * The GPU's context is the calling thread's from enter to leave, and what was before is again afterwards: for libraries
 * that work in the thread's context, as TensorRT does. In between the thread may get and free memory while another one
 * captures (CU_STREAM_CAPTURE_MODE_RELAXED), as in all functions here.
 */
MMKG_API mmkg_status mmkg_gpu_enter(mmkg_gpu *gpu);
MMKG_API mmkg_status mmkg_gpu_leave(mmkg_gpu *gpu);

/*
 * Memory. Addresses are multiples of 256. Freeing waits for work that was put on any stream. Pinned memory of the
 * host is what copies are fast and not waited for with.
 */
MMKG_API mmkg_status mmkg_gpu_allocate(mmkg_gpu *gpu, int64_t bytes, uint64_t *address);
MMKG_API mmkg_status mmkg_gpu_free(mmkg_gpu *gpu, uint64_t address);
MMKG_API mmkg_status mmkg_gpu_allocate_host(mmkg_gpu *gpu, int64_t bytes, void **host);
MMKG_API mmkg_status mmkg_gpu_free_host(mmkg_gpu *gpu, void *host);
MMKG_API mmkg_status mmkg_gpu_memory(mmkg_gpu *gpu, int64_t *free_bytes, int64_t *all_bytes);

/* Copies and fills, ordered on a stream. Memory of the host must stay until the stream was waited for. */
MMKG_API mmkg_status mmkg_gpu_copy_to_device(mmkg_gpu *gpu, uint64_t to, const void *from, int64_t bytes,
                                             uint64_t stream);
MMKG_API mmkg_status mmkg_gpu_copy_to_host(mmkg_gpu *gpu, void *to, uint64_t from, int64_t bytes, uint64_t stream);
MMKG_API mmkg_status mmkg_gpu_copy(mmkg_gpu *gpu, uint64_t to, uint64_t from, int64_t bytes, uint64_t stream);
MMKG_API mmkg_status mmkg_gpu_fill(mmkg_gpu *gpu, uint64_t to, uint8_t value, int64_t bytes, uint64_t stream);

/* Streams that do not wait for the legacy default stream. Closing one lets its work end. */
MMKG_API mmkg_status mmkg_gpu_stream_open(mmkg_gpu *gpu, uint64_t *stream);
MMKG_API mmkg_status mmkg_gpu_stream_close(mmkg_gpu *gpu, uint64_t stream);
MMKG_API mmkg_status mmkg_gpu_stream_synchronize(mmkg_gpu *gpu, uint64_t stream); /* waits */
MMKG_API mmkg_status mmkg_gpu_stream_wait(mmkg_gpu *gpu, uint64_t stream, uint64_t event); /* the stream waits */

/* Events, with times. mmkg_gpu_event_elapsed waits for both. */
MMKG_API mmkg_status mmkg_gpu_event_open(mmkg_gpu *gpu, uint64_t *event);
MMKG_API mmkg_status mmkg_gpu_event_close(mmkg_gpu *gpu, uint64_t event);
MMKG_API mmkg_status mmkg_gpu_event_record(mmkg_gpu *gpu, uint64_t event, uint64_t stream);
MMKG_API mmkg_status mmkg_gpu_event_elapsed(mmkg_gpu *gpu, uint64_t first, uint64_t last, float *milliseconds);

/*
 * Graphs: what is put on a stream between begin and end is not run, but kept, and runs as one with each launch.
 * Between them nothing may be waited for, and kernels must have been loaded, as the functions that open things do.
 * The stream is none of the default one. Memory that the work refers to must stay until the graph is closed. Memory
 * that it gets in the order of the stream, as the functions of the other headers do, is the graph's own: the driver
 * gives it with the first launch, and graphs of one stream share it; closing a graph frees what none needs.
 */
MMKG_API mmkg_status mmkg_gpu_capture_begin(mmkg_gpu *gpu, uint64_t stream);
MMKG_API mmkg_status mmkg_gpu_capture_end(mmkg_gpu *gpu, uint64_t stream, uint64_t *graph);
MMKG_API mmkg_status mmkg_gpu_graph_launch(mmkg_gpu *gpu, uint64_t graph, uint64_t stream);
MMKG_API mmkg_status mmkg_gpu_graph_close(mmkg_gpu *gpu, uint64_t graph);

#ifdef __cplusplus
}
#endif

#endif
