// mmkg_gpu_rotation_...: rotations on the GPU, and launches of triton/encoder/rotation.py.
#include "query/rotation.h"

#include <memory>

#include "cuda/launch/encoder/ids.h"
#include "cuda/launch/encoder/layer.h"
#include "cuda/launch/encoder/weights.h"
#include "mmkg_cuda_encoder.h"

using mmkg::require;
using namespace mmkg::cuda;

struct mmkg_gpu_rotation {
    mmkg_gpu_rotation(mmkg_gpu &gpu_, const mmkg::Rotations &weights)
        : gpu(gpu_), relations(weights.relations), width(weights.width), kernel_(gpu.kernel("rotate")) {
        Weights sent;
        sent.add(rotations_, weights.rotations, Axis::whole(relations, relations), Axis::whole(width, width),
                 "rotations");
        memory_ = sent.upload(gpu);
    }

    void apply(Address table, int64_t rows, int64_t stride, int64_t batch, const Ids &ids, Address queries,
               Stream stream) const {
        kernel_.launch({batch, ceil_div(width / 2, kernel_.constant("BLOCK"))},
                       Arguments()
                           .address(table)
                           .address(rotations_)
                           .address(ids.entities)
                           .address(ids.relations)
                           .address(ids.directions)
                           .address(queries)
                           .integer(rows)
                           .integer(relations)
                           .integer(stride)
                           .integer(width / 2),
                       stream);
    }

    mmkg_gpu &gpu;
    const int64_t relations, width;

private:
    const Kernel &kernel_;
    Address rotations_ = 0;
    std::unique_ptr<DeviceMemory> memory_;
};

mmkg_status mmkg_gpu_rotation_open(mmkg_gpu *gpu, const float *rotations, int64_t relations, int64_t width,
                                   mmkg_gpu_rotation **rotation) {
    return on_gpu(gpu, [&] {
        require(rotation, "rotation is NULL");
        const mmkg::Rotations weights{rotations, relations, width};
        mmkg::require_rotations(weights);
        *rotation = new mmkg_gpu_rotation(*gpu, weights);
    });
}

void mmkg_gpu_rotation_close(mmkg_gpu_rotation *rotation) { delete rotation; }

mmkg_status mmkg_gpu_rotation_apply(const mmkg_gpu_rotation *rotation, uint64_t table, int64_t rows, int64_t stride,
                                    int64_t batch, uint64_t entities, uint64_t relations, uint64_t directions,
                                    int32_t place, uint64_t queries, uint64_t on_stream) {
    return on_gpu_of(rotation, "rotation is NULL", [&] {
        const Ids given{entities, relations, directions};
        require_questions(given, batch, table, rows);
        require_place(place);
        if (batch == 0) return;
        require(stride >= rotation->width && stride <= MMKG_MAX_WIDTH, "stride is not from the width to 2^20");
        require(queries, "queries is NULL");
        const Stream stream = stream_of(on_stream);
        if (place == MMKG_ON_GPU) return rotation->apply(table, rows, stride, batch, given, queries, stream);
        Workspace workspace(rotation->gpu, bytes_of_ids(batch), stream);
        const Ids ids = copied_ids(rotation->gpu, given, batch, {rows, rotation->relations},
                                   workspace.take(bytes_of_ids(batch)), stream);
        rotation->apply(table, rows, stride, batch, ids, queries, stream);
    });
}
