// MyGO's entities from tokens, by its token tables.
#include <algorithm>

#include "entity_inputs.hpp"
#include "layer_rest.hpp"
#include "mygo.hpp"
#include "weights.hpp"

namespace mmkg::internal {
namespace {

class TokenTableEncoder : public EntityEncoder {
public:
    TokenTableEncoder(const Opened &opened, mmkg_pool *pool) : inputs_(opened) {
        Weights weights(opened.weights, TOKEN_TABLE_GRAPH);
        std::set<std::string> names{"structure.norm.weight",
                                    "structure.norm.bias",
                                    "structure.type_vector",
                                    "logit_weight",
                                    "logits",
                                    "multiplied_values",
                                    "value.multiplied_weight",
                                    "value.bias",
                                    "pooled",
                                    "pooled_logits",
                                    "pooled_value"};
        names.insert(std::begin(LAYER_REST), std::end(LAYER_REST));
        if (weights.has("head_of_column")) names.insert("head_of_column");  // of the graph alone
        weights.expect(names);
        open(weights, opened.config().size("visual_codebook_rows"), pool);
    }

    std::vector<float> encode(const std::vector<EntityTokens> &entities) const override {
        if (entities.empty()) return {};
        const std::vector<float> structure = inputs_.structure(each(entities, &EntityTokens::structure));
        const PaddedTokens visual = inputs_.tokens("visual", each(entities, &EntityTokens::visual));
        const PaddedTokens text = inputs_.tokens("text", each(entities, &EntityTokens::text));
        std::vector<float> vectors(structure.size());
        check(mmkg_token_table_encode(handle_.get(), static_cast<int64_t>(entities.size()), structure.data(),
                                      visual.tokens.data(), visual.mask.data(), visual.count, text.tokens.data(),
                                      text.mask.data(), text.count, vectors.data()),
              TOKEN_TABLE_GRAPH);
        return vectors;
    }

private:
    void open(Weights &weights, int64_t visual_rows, mmkg_pool *pool) {
        mmkg_token_table_weights described{};
        const int64_t rows = weights.axis("logits", 0), heads = weights.axis("logits", 1);
        const int64_t width = weights.axis("rest.hidden.multiplied_weight", 0);
        const int64_t hidden = weights.axis("rest.hidden.multiplied_weight", 1);
        described.width = width, described.heads = heads, described.feedforward_width = hidden;
        described.visual_rows = std::min(rows, visual_rows);
        described.text_rows = rows - described.visual_rows;
        described.norm_epsilon = NORM_EPSILON;
        described.structure_norm_weight = weights.float32("structure.norm.weight", {width});
        described.structure_norm_bias = weights.float32("structure.norm.bias", {width});
        described.type_vector = weights.float32("structure.type_vector", {width});
        described.logit_weight = weights.float32("logit_weight", {width, heads});
        described.logits = weights.float32("logits", {rows, heads});
        described.values = weights.float32("multiplied_values", {rows, width});
        described.value_weight = weights.float32("value.multiplied_weight", {width, width});
        described.value_bias = weights.float32("value.bias", {width});
        described.pooled = weights.float32("pooled", {width});
        described.pooled_logits = weights.float32("pooled_logits", {heads});
        described.pooled_value = weights.float32("pooled_value", {width});
        add_layer_rest(weights, "", width, hidden, described);
        mmkg_token_table *handle = nullptr;
        check(mmkg_token_table_open(&described, MMKG_FLOAT32, MMKG_BEST, pool, &handle), TOKEN_TABLE_GRAPH);
        handle_.reset(handle);
    }

    const EntityInputs inputs_;
    TokenTable handle_;
};

}  // namespace

std::unique_ptr<const EntityEncoder> token_table_encoder(const Opened &opened, mmkg_pool *pool) {
    return std::make_unique<const TokenTableEncoder>(opened, pool);
}

}  // namespace mmkg::internal
