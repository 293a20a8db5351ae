// What is used of NVIDIA's driver API (cuda.h), declared here so that building needs no CUDA toolkit. Names in comments
// are those of cuda.h; tests/kernels/gpu/test_declarations.py compares values and signatures with a real one.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mmkg::cuda {

using Result = int;          // CUresult
using DeviceNumber = int;    // CUdevice
using Address = uint64_t;    // CUdeviceptr
using Context = void *;      // CUcontext
using Stream = void *;       // CUstream
using Event = void *;        // CUevent
using Module = void *;       // CUmodule
using Function = void *;     // CUfunction
using Graph = void *;        // CUgraph
using GraphExec = void *;    // CUgraphExec
using MemoryPool = void *;   // CUmemoryPool

struct alignas(128) TensorMap {  // CUtensorMap
    uint64_t opaque[16];
};

struct MemoryLocation {  // CUmemLocation
    int type;
    int id;
};

struct MemoryPoolProperties {  // CUmemPoolProps
    int allocation_type;
    int handle_types;
    MemoryLocation location;
    void *security_attributes;
    size_t max_size;
    unsigned short usage;
    unsigned char reserved[54];
};

// A part of rows, of `width_bytes` each, from one pitch to another.
struct RowCopy {  // CUDA_MEMCPY2D
    size_t from_x, from_y;
    int from_type;
    const void *from_host;
    Address from_device;
    void *from_array;
    size_t from_pitch;
    size_t to_x, to_y;
    int to_type;
    void *to_host;
    Address to_device;
    void *to_array;
    size_t to_pitch;
    size_t width_bytes, height;
};

// Results, attributes and flags that are told apart by number.
constexpr Result kSuccess = 0, kOutOfMemory = 2, kNotReady = 600;
constexpr int kSharedMemoryOfBlock = 97;  // CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN
constexpr int kMultiprocessors = 16;      // CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT
constexpr int kL2Bytes = 38;              // CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE
constexpr int kMajor = 75, kMinor = 76;   // CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, _MINOR
constexpr int kMemoryPools = 115;         // CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED
constexpr int kDynamicSharedMemory = 8;   // CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
constexpr unsigned kNonBlocking = 1;      // CU_STREAM_NON_BLOCKING
constexpr int kRelaxedCapture = 2;        // CU_STREAM_CAPTURE_MODE_RELAXED
constexpr int kPinnedAllocation = 1;      // CU_MEM_ALLOCATION_TYPE_PINNED
constexpr int kOnDevice = 1;              // CU_MEM_LOCATION_TYPE_DEVICE
constexpr int kReleaseThreshold = 4;      // CU_MEMPOOL_ATTR_RELEASE_THRESHOLD
constexpr int kPromoteTo128Bytes = 2;     // CU_TENSOR_MAP_L2_PROMOTION_L2_128B
constexpr int kHostMemory = 1, kDeviceMemory = 2;  // CU_MEMORYTYPE_HOST, _DEVICE
constexpr int kMaxMapRank = 5;

// X(name in the library, what it is called here, arguments). Every one gives a Result.
#define MMKG_CUDA_FUNCTIONS(X)                                                                              \
    X(cuInit, init, (unsigned))                                                                             \
    X(cuDriverGetVersion, driver_version, (int *))                                                          \
    X(cuGetErrorName, error_name, (Result, const char **))                                                  \
    X(cuGetErrorString, error_string, (Result, const char **))                                              \
    X(cuDeviceGetCount, device_count, (int *))                                                              \
    X(cuDeviceGet, device, (DeviceNumber *, int))                                                           \
    X(cuDeviceGetName, device_name, (char *, int, DeviceNumber))                                            \
    X(cuDeviceGetAttribute, device_attribute, (int *, int, DeviceNumber))                                   \
    X(cuDeviceTotalMem_v2, device_memory, (size_t *, DeviceNumber))                                         \
    X(cuDevicePrimaryCtxRetain, context_retain, (Context *, DeviceNumber))                                  \
    X(cuDevicePrimaryCtxRelease_v2, context_release, (DeviceNumber))                                        \
    X(cuCtxPushCurrent_v2, context_push, (Context))                                                         \
    X(cuCtxPopCurrent_v2, context_pop, (Context *))                                                         \
    X(cuMemGetInfo_v2, memory_info, (size_t *, size_t *))                                                   \
    X(cuMemAlloc_v2, allocate, (Address *, size_t))                                                         \
    X(cuMemFree_v2, free, (Address))                                                                        \
    X(cuMemHostAlloc, allocate_host, (void **, size_t, unsigned))                                           \
    X(cuMemFreeHost, free_host, (void *))                                                                   \
    X(cuMemPoolCreate, pool_create, (MemoryPool *, const MemoryPoolProperties *))                           \
    X(cuMemPoolDestroy, pool_destroy, (MemoryPool))                                                         \
    X(cuMemPoolSetAttribute, pool_attribute, (MemoryPool, int, void *))                                     \
    X(cuMemAllocFromPoolAsync, allocate_ordered, (Address *, size_t, MemoryPool, Stream))                   \
    X(cuMemFreeAsync, free_ordered, (Address, Stream))                                                      \
    X(cuMemcpyHtoDAsync_v2, copy_to_device, (Address, const void *, size_t, Stream))                        \
    X(cuMemcpyDtoHAsync_v2, copy_to_host, (void *, Address, size_t, Stream))                                \
    X(cuMemcpyDtoDAsync_v2, copy_on_device, (Address, Address, size_t, Stream))                             \
    X(cuMemcpy2DAsync_v2, copy_rows, (const RowCopy *, Stream))                                             \
    X(cuMemsetD8Async, fill, (Address, unsigned char, size_t, Stream))                                      \
    X(cuStreamCreate, stream_create, (Stream *, unsigned))                                                  \
    X(cuStreamDestroy_v2, stream_destroy, (Stream))                                                         \
    X(cuStreamSynchronize, stream_synchronize, (Stream))                                                    \
    X(cuStreamWaitEvent, stream_wait, (Stream, Event, unsigned))                                            \
    X(cuStreamIsCapturing, stream_capturing, (Stream, int *))                                               \
    X(cuStreamBeginCapture_v2, capture_begin, (Stream, int))                                                \
    X(cuStreamEndCapture, capture_end, (Stream, Graph *))                                                   \
    X(cuThreadExchangeStreamCaptureMode, exchange_capture_mode, (int *))                                    \
    X(cuGraphInstantiateWithFlags, graph_instantiate, (GraphExec *, Graph, unsigned long long))             \
    X(cuGraphLaunch, graph_launch, (GraphExec, Stream))                                                     \
    X(cuGraphDestroy, graph_destroy, (Graph))                                                               \
    X(cuGraphExecDestroy, graph_exec_destroy, (GraphExec))                                                  \
    X(cuDeviceGraphMemTrim, graph_memory_trim, (DeviceNumber))                                              \
    X(cuEventCreate, event_create, (Event *, unsigned))                                                     \
    X(cuEventDestroy_v2, event_destroy, (Event))                                                            \
    X(cuEventRecord, event_record, (Event, Stream))                                                         \
    X(cuEventSynchronize, event_synchronize, (Event))                                                       \
    X(cuEventElapsedTime, event_elapsed, (float *, Event, Event))                                           \
    X(cuModuleLoadData, module_load, (Module *, const void *))                                              \
    X(cuModuleUnload, module_unload, (Module))                                                              \
    X(cuModuleGetFunction, module_function, (Function *, Module, const char *))                             \
    X(cuFuncSetAttribute, function_attribute, (Function, int, int))                                         \
    X(cuOccupancyMaxActiveBlocksPerMultiprocessor, occupancy, (int *, Function, int, size_t))                \
    X(cuLaunchKernel, launch,                                                                               \
      (Function, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, Stream, void **, void **)) \
    X(cuTensorMapEncodeTiled, encode_tensor_map,                                                            \
      (TensorMap *, int, uint32_t, void *, const uint64_t *, const uint64_t *, const uint32_t *,            \
       const uint32_t *, int, int, int, int))

// The functions, found by name.
struct Api {
#define MMKG_CUDA_MEMBER(symbol, name, arguments) Result(*name) arguments;
    MMKG_CUDA_FUNCTIONS(MMKG_CUDA_MEMBER)
#undef MMKG_CUDA_MEMBER
};

}  // namespace mmkg::cuda
