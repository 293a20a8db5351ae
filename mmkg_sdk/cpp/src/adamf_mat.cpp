// AdaMF-MAT's queries: the known entity, each complex coordinate turned by the angle of the relation.
#include "adamf_mat.hpp"

#include "gpu.hpp"
#include "weights.hpp"

namespace mmkg::internal {
namespace {

class AdaMFOnGpu : public GpuQueries {
public:
    explicit AdaMFOnGpu(GpuRotation rotation) : rotation_(std::move(rotation)) {}

    void of(const GpuRows &table, const Columns &queries, uint64_t vectors, uint64_t stream) const override {
        check(mmkg_gpu_rotation_apply(rotation_.get(), table.address, table.rows, table.stride, queries.size(),
                                      on_host(queries.entity), on_host(queries.relation), on_host(queries.direction),
                                      MMKG_ON_HOST, vectors, stream),
              "query_encoder");
    }

private:
    GpuRotation rotation_;
};

class AdaMFQueries : public QueryVectors {
public:
    explicit AdaMFQueries(const Opened &opened) : weights_(opened.weights, "query_encoder") {
        weights_.expect({"rotations"});
        relations_ = weights_.axis("rotations", 0), width_ = weights_.axis("rotations", 1);
        if (const Tensor &stored = weights_.stored("rotations"); stored.dtype != Dtype::float32) {
            throw Error(Fault::backend, "the rotations are " + stored.described() +
                                            "; expected float32 in every precision. Export the bundle again.");
        }
        rotations_ = weights_.float32("rotations", {relations_, width_});
    }

    std::vector<float> of(const float *table, int64_t rows, const Columns &queries) const override {
        std::vector<float> vectors(static_cast<size_t>(queries.size() * width_));
        check(mmkg_rotation_apply(table, rows, width_, rotations_, relations_, queries.entity.data(),
                                  queries.relation.data(), queries.direction.data(), queries.size(), vectors.data()),
              "query_encoder");
        return vectors;
    }

    void describe(mmkg_answer_parts &parts) const override {
        parts.rotations = rotations_, parts.num_rotations = relations_;
    }

    std::unique_ptr<const GpuQueries> on_gpu(mmkg_gpu *gpu) const override {
        mmkg_gpu_rotation *rotation = nullptr;
        check(mmkg_gpu_rotation_open(gpu, rotations_, relations_, width_, &rotation), "query_encoder");
        return std::make_unique<const AdaMFOnGpu>(GpuRotation(rotation));
    }

private:
    Weights weights_;
    int64_t relations_ = 0, width_ = 0;
    const float *rotations_ = nullptr;
};

}  // namespace

std::unique_ptr<const QueryVectors> adamf_mat_queries(const Opened &opened) {
    return std::make_unique<const AdaMFQueries>(opened);
}

}  // namespace mmkg::internal
