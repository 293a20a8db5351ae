// MyGO's queries: a transformer over the known entity, the relation and the missing entity, then the Tucker core where
// the model has one.
#include <cmath>

#include "gpu.hpp"
#include "layer_rest.hpp"
#include "mygo.hpp"
#include "weights.hpp"

namespace mmkg::internal {
namespace {

constexpr const char *GRAPH = "query_encoder";

mmkg_query_layer layer_of(Weights &weights, int64_t layer, int64_t width, int64_t hidden) {
    const std::string prefix = "layers." + std::to_string(layer) + ".";
    const auto matrix = [&](const char *name) {
        return weights.float32(prefix + name + ".multiplied_weight", {width, width});
    };
    const auto bias = [&](const char *name) { return weights.float32(prefix + name + ".bias", {width}); };
    mmkg_query_layer described{};
    described.query_weight = matrix("query"), described.query_bias = bias("query");
    described.key_weight = matrix("key"), described.key_bias = bias("key");
    described.value_weight = matrix("value"), described.value_bias = bias("value");
    add_layer_rest(weights, prefix, width, hidden, described);
    return described;
}

std::set<std::string> names_of(int64_t layers, bool core) {
    std::set<std::string> names{"known_slot", "missing", "relations"};
    for (int64_t layer = 0; layer < layers; ++layer) {
        const std::string prefix = "layers." + std::to_string(layer) + ".";
        for (const char *name : {"query", "key", "value"}) {
            names.insert(prefix + name + ".multiplied_weight");
            names.insert(prefix + name + ".bias");
        }
        for (const char *name : LAYER_REST) names.insert(prefix + name);
    }
    if (core) names.insert({"core.multiplied_core", "core.relation.multiplied_weight", "core.relation.bias"});
    return names;
}

class MyGOOnGpu : public GpuQueries {
public:
    MyGOOnGpu(GpuContext context, GpuTucker core) : context_(std::move(context)), core_(std::move(core)) {}

    void of(const GpuRows &table, const Columns &queries, uint64_t vectors, uint64_t stream) const override {
        check(mmkg_gpu_query_vectors(context_.get(), core_.get(), table.address, table.rows, table.stride,
                                     queries.size(), on_host(queries.entity), on_host(queries.relation),
                                     on_host(queries.direction), MMKG_ON_HOST, vectors, stream),
              GRAPH);
    }

private:
    GpuContext context_;
    GpuTucker core_;
};

// A core and what goes with it, as mmkg_tucker_open takes them.
struct CoreWeights {
    const void *core = nullptr, *relation = nullptr;
    const float *shift = nullptr;
    int32_t precision = MMKG_FP32;
};

class MyGOQueries : public QueryVectors {
public:
    MyGOQueries(const Opened &opened, mmkg_pool *pool) : weights_(opened.weights, GRAPH) {
        int64_t layers = 1;
        while (weights_.has("layers." + std::to_string(layers) + ".query.bias")) ++layers;
        const bool core = weights_.has("core.multiplied_core");
        weights_.expect(names_of(layers, core));
        width_ = weights_.axis("relations", 1), heads_ = opened.config().size("num_heads"), layers_ = layers;
        with_weights([&](const mmkg_query_weights &all) {
            mmkg_query_context *handle = nullptr;
            check(mmkg_query_context_open(&all, MMKG_BEST, pool, &handle), GRAPH);
            context_.reset(handle);
        });
        if (core) open_core(pool);
    }

    std::vector<float> of(const float *table, int64_t rows, const Columns &queries) const override {
        std::vector<float> context(static_cast<size_t>(queries.size() * width_)), relation(context.size());
        check(mmkg_query_context_encode(context_.get(), table, rows, queries.size(), queries.entity.data(),
                                        queries.relation.data(), queries.direction.data(), context.data(),
                                        relation.data()),
              GRAPH);
        if (core_ == nullptr) return context;
        std::vector<float> product(context.size());
        check(mmkg_tucker_apply(core_.get(), context.data(), relation.data(), queries.size(), product.data()), GRAPH);
        return product;
    }

    void describe(mmkg_answer_parts &parts) const override { parts.context = context_.get(), parts.core = core_.get(); }

    std::unique_ptr<const GpuQueries> on_gpu(mmkg_gpu *gpu) const override {
        mmkg_gpu_query_context *context = nullptr;
        with_weights([&](const mmkg_query_weights &all) {
            check(mmkg_gpu_query_context_open(gpu, &all, &context), GRAPH);
        });
        GpuContext opened(context);
        mmkg_gpu_tucker *core = nullptr;
        if (core_ != nullptr) {
            check(mmkg_gpu_tucker_open(gpu, core_weights_.core, core_weights_.precision, core_weights_.relation,
                                       core_weights_.shift, width_, &core),
                  GRAPH);
        }
        return std::make_unique<const MyGOOnGpu>(std::move(opened), GpuTucker(core));
    }

private:
    // Calls with the weights of the transformer, which are read then, and no longer.
    template <class Open>
    void with_weights(Open open) const {
        Weights copies = weights_;
        const int64_t hidden = copies.axis("layers.0.rest.hidden.multiplied_weight", 1);
        std::vector<mmkg_query_layer> described;
        for (int64_t layer = 0; layer < layers_; ++layer) described.push_back(layer_of(copies, layer, width_, hidden));
        mmkg_query_weights all{};
        all.width = width_, all.heads = heads_, all.feedforward_width = hidden, all.num_layers = layers_;
        all.num_relations = copies.axis("relations", 0);
        all.norm_epsilon = NORM_EPSILON;
        all.known_slots = copies.float32("known_slot", {2, width_}),
        all.missing_slots = copies.float32("missing", {2, width_});
        all.relations = copies.float32("relations", {all.num_relations, width_});
        all.layers = described.data();
        open(all);
    }

    // The core stays where it is; what is copied of it for alignment stays in weights_.
    void open_core(mmkg_pool *pool) {
        const Tensor &core = weights_.stored("core.multiplied_core"),
                     &relation = weights_.stored("core.relation.multiplied_weight");
        const std::vector<int64_t> square{width_, width_};
        const bool fits = (core.shape == std::vector<int64_t>{width_, width_, width_} ||
                           core.shape == std::vector<int64_t>{width_, width_ * width_}) &&
                          relation.shape == square && relation.dtype == core.dtype;
        const bool number =
            core.dtype == Dtype::float32 || core.dtype == Dtype::float16 || core.dtype == Dtype::bfloat16;
        if (!fits || !number) {
            throw Error(Fault::backend, "the core is " + core.described() + ", its relation weight " +
                                            relation.described() + "; expected a width of " + std::to_string(width_) +
                                            ". Export the bundle again.");
        }
        core_weights_ = {weights_.aligned("core.multiplied_core"), weights_.aligned("core.relation.multiplied_weight"),
                         weights_.float32("core.relation.bias", {width_}),
                         core.dtype == Dtype::float32   ? MMKG_FP32
                         : core.dtype == Dtype::float16 ? MMKG_FP16
                                                        : MMKG_BF16};
        mmkg_tucker *handle = nullptr;
        check(mmkg_tucker_open(core_weights_.core, core_weights_.precision, core_weights_.relation, core_weights_.shift,
                               width_, MMKG_BEST, pool, &handle),
              GRAPH);
        core_.reset(handle);
    }

    Weights weights_;
    int64_t width_ = 0, heads_ = 0, layers_ = 0;
    CoreWeights core_weights_;
    QueryContext context_;
    Tucker core_;
};

}  // namespace

std::unique_ptr<const QueryVectors> mygo_queries(const Opened &opened, mmkg_pool *pool) {
    return std::make_unique<const MyGOQueries>(opened, pool);
}

}  // namespace mmkg::internal
