#include "entity_encoder.hpp"

#include <algorithm>
#include <functional>

#include "entity_inputs.hpp"
#include "mygo.hpp"

namespace mmkg::internal {
namespace {

constexpr const char *GRAPH = "entity_encoder";
// Entities of one run of the graph, by the tokens that they have together; as Python's, for its bits depend on it.
constexpr int64_t CHUNK_TOKENS = 2048, MOST_ENTITIES = 4096;

// Encodes by the graph, some entities at a time.
//
//   tokens   that the encoder mixes for one entity
//   inputs   from the first entity on, so many
std::vector<float> by_graph(const Graphs &graphs, int64_t count, int64_t width, int64_t tokens,
                            const std::function<Tensors(int64_t, int64_t)> &inputs) {
    const int64_t most = std::min(MOST_ENTITIES, std::max<int64_t>(1, CHUNK_TOKENS / tokens));
    std::vector<float> vectors;
    for (int64_t start = 0; start < count; start += most) {
        const int64_t size = std::min(most, count - start);
        const GraphOutputs found = graphs.run(GRAPH, inputs(start, size), {{"vectors", {size, width}}});
        const std::vector<float> &part = found.at("vectors").numbers;
        vectors.insert(vectors.end(), part.begin(), part.end());
    }
    return vectors;
}

// MyGO with several entity layers.
class MyGOGraph : public EntityEncoder {
public:
    MyGOGraph(const Opened &opened, const Graphs &graphs)
        : inputs_(opened), graphs_(graphs), width_(opened.config().table_width()) {}

    std::vector<float> encode(const std::vector<EntityTokens> &entities) const override {
        const std::vector<float> structure = inputs_.structure(each(entities, &EntityTokens::structure));
        const PaddedTokens visual = inputs_.tokens("visual", each(entities, &EntityTokens::visual));
        const PaddedTokens text = inputs_.tokens("text", each(entities, &EntityTokens::text));
        const auto some = [&](int64_t start, int64_t size) {
            const auto of_tokens = [&](const PaddedTokens &all) {
                return graph_input(Dtype::int64, {size, all.count}, all.tokens.data() + start * all.count);
            };
            const auto of_mask = [&](const PaddedTokens &all) {
                return graph_input(Dtype::boolean, {size, all.count}, all.mask.data() + start * all.count);
            };
            return Tensors{
                {"structure", graph_input(Dtype::float32, {size, width_}, structure.data() + start * width_)},
                {"visual_tokens", of_tokens(visual)},
                {"visual_mask", of_mask(visual)},
                {"text_tokens", of_tokens(text)},
                {"text_mask", of_mask(text)}};
        };
        return by_graph(graphs_, static_cast<int64_t>(entities.size()), width_, 2 + visual.count + text.count, some);
    }

private:
    const EntityInputs inputs_;
    const Graphs &graphs_;
    const int64_t width_;
};

class AdaMFGraph : public EntityEncoder {
public:
    AdaMFGraph(const Opened &opened, const Graphs &graphs)
        : inputs_(opened), graphs_(graphs), width_(opened.config().table_width()) {}

    std::vector<float> encode(const std::vector<EntityFeatures> &entities) const override {
        const std::vector<float> structure = inputs_.structure(each(entities, &EntityFeatures::structure));
        const FeatureRows visual = inputs_.features("visual", each(entities, &EntityFeatures::visual));
        const FeatureRows text = inputs_.features("text", each(entities, &EntityFeatures::text));
        const auto some = [&](int64_t start, int64_t size) {
            const auto of_features = [&](const FeatureRows &all) {
                return graph_input(Dtype::float32, {size, all.width}, all.features.data() + start * all.width);
            };
            const auto of_mask = [&](const FeatureRows &all) {
                return graph_input(Dtype::boolean, {size}, all.mask.data() + start);
            };
            return Tensors{
                {"structure", graph_input(Dtype::float32, {size, width_}, structure.data() + start * width_)},
                {"visual_features", of_features(visual)},
                {"visual_mask", of_mask(visual)},
                {"text_features", of_features(text)},
                {"text_mask", of_mask(text)}};
        };
        constexpr int64_t vectors = 3;  // structure, image, text
        return by_graph(graphs_, static_cast<int64_t>(entities.size()), width_, vectors, some);
    }

private:
    const EntityInputs inputs_;
    const Graphs &graphs_;
    const int64_t width_;
};

}  // namespace

std::vector<float> EntityEncoder::encode(const std::vector<EntityTokens> &) const {
    throw Error(Fault::query, "adamf_mat encodes entities from features, not from tokens. Pass mmkg::EntityFeatures.");
}

std::vector<float> EntityEncoder::encode(const std::vector<EntityFeatures> &) const {
    throw Error(Fault::query, "mygo encodes entities from tokens, not from features. Pass mmkg::EntityTokens.");
}

std::unique_ptr<const EntityEncoder> entity_encoder(const Opened &opened, mmkg_pool *pool, const Graphs &graphs) {
    if (opened.config().family == Family::adamf_mat) return std::make_unique<const AdaMFGraph>(opened, graphs);
    if (opened.manifest.signatures.count(TOKEN_TABLE_GRAPH) != 0) return token_table_encoder(opened, pool);
    return std::make_unique<const MyGOGraph>(opened, graphs);
}

}  // namespace mmkg::internal
