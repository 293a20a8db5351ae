// The C functions for streams, events and graphs of a GPU.
#include "cuda/device/gpu.h"

using mmkg::require;
using mmkg::cuda::check;
using mmkg::cuda::on_gpu;
using mmkg::cuda::stream_of;

namespace {

uint64_t handle_of(void *pointer) { return static_cast<uint64_t>(reinterpret_cast<uintptr_t>(pointer)); }

void *pointer_of(uint64_t handle) { return reinterpret_cast<void *>(static_cast<uintptr_t>(handle)); }

}  // namespace

mmkg_status mmkg_gpu_stream_open(mmkg_gpu *gpu, uint64_t *stream) {
    return on_gpu(gpu, [&] {
        require(stream != nullptr, "stream is NULL");
        mmkg::cuda::Stream made;
        check(gpu->api.stream_create(&made, mmkg::cuda::kNonBlocking), "make a stream");
        *stream = handle_of(made);
    });
}

mmkg_status mmkg_gpu_stream_close(mmkg_gpu *gpu, uint64_t stream) {
    return on_gpu(gpu, [&] { check(gpu->api.stream_destroy(stream_of(stream)), "close a stream"); });
}

mmkg_status mmkg_gpu_stream_synchronize(mmkg_gpu *gpu, uint64_t stream) {
    return on_gpu(gpu, [&] { check(gpu->api.stream_synchronize(stream_of(stream)), "wait for a stream"); });
}

mmkg_status mmkg_gpu_stream_wait(mmkg_gpu *gpu, uint64_t stream, uint64_t event) {
    return on_gpu(gpu, [&] {
        check(gpu->api.stream_wait(stream_of(stream), pointer_of(event), 0), "let a stream wait for an event");
    });
}

mmkg_status mmkg_gpu_event_open(mmkg_gpu *gpu, uint64_t *event) {
    return on_gpu(gpu, [&] {
        require(event != nullptr, "event is NULL");
        mmkg::cuda::Event made;
        check(gpu->api.event_create(&made, 0), "make an event");
        *event = handle_of(made);
    });
}

mmkg_status mmkg_gpu_event_close(mmkg_gpu *gpu, uint64_t event) {
    return on_gpu(gpu, [&] { check(gpu->api.event_destroy(pointer_of(event)), "close an event"); });
}

mmkg_status mmkg_gpu_event_record(mmkg_gpu *gpu, uint64_t event, uint64_t stream) {
    return on_gpu(gpu, [&] { check(gpu->api.event_record(pointer_of(event), stream_of(stream)), "record an event"); });
}

mmkg_status mmkg_gpu_event_elapsed(mmkg_gpu *gpu, uint64_t first, uint64_t last, float *milliseconds) {
    return on_gpu(gpu, [&] {
        require(milliseconds != nullptr, "milliseconds is NULL");
        check(gpu->api.event_synchronize(pointer_of(first)), "wait for an event");
        check(gpu->api.event_synchronize(pointer_of(last)), "wait for an event");
        check(gpu->api.event_elapsed(milliseconds, pointer_of(first), pointer_of(last)), "take the time of two events");
    });
}

mmkg_status mmkg_gpu_capture_begin(mmkg_gpu *gpu, uint64_t stream) {
    return on_gpu(gpu, [&] {
        require(stream != 0, "the default stream cannot be captured; open one");
        check(gpu->api.capture_begin(stream_of(stream), mmkg::cuda::kRelaxedCapture), "begin a graph");
    });
}

mmkg_status mmkg_gpu_capture_end(mmkg_gpu *gpu, uint64_t stream, uint64_t *graph) {
    return on_gpu(gpu, [&] {
        require(graph != nullptr, "graph is NULL");
        mmkg::cuda::Graph kept = nullptr;
        check(gpu->api.capture_end(stream_of(stream), &kept), "end a graph");
        mmkg::cuda::GraphExec made = nullptr;
        const mmkg::cuda::Result result = gpu->api.graph_instantiate(&made, kept, 0);
        gpu->api.graph_destroy(kept);
        check(result, "make a graph ready");
        *graph = handle_of(made);
    });
}

mmkg_status mmkg_gpu_graph_launch(mmkg_gpu *gpu, uint64_t graph, uint64_t stream) {
    return on_gpu(gpu, [&] { check(gpu->api.graph_launch(pointer_of(graph), stream_of(stream)), "launch a graph"); });
}

mmkg_status mmkg_gpu_graph_close(mmkg_gpu *gpu, uint64_t graph) {
    return on_gpu(gpu, [&] {
        check(gpu->api.graph_exec_destroy(pointer_of(graph)), "close a graph");
        gpu->trim_graph_memory();
    });
}
