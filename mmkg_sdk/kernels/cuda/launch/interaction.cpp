// MIMIC's late interaction on a GPU: weights, sizes and grids of triton/interaction.py.
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "cuda/device/gpu.h"
#include "mmkg_cuda_link.h"

namespace mmkg::cuda {

namespace {

// Of the kernels' constants.
constexpr int64_t kTextEntities = 16, kTileMentions = 16, kTileEntities = 32, kChunk = 32;
constexpr int64_t kLengths[] = {64, 128};

int64_t parts(int64_t count, int64_t size) { return (count + size - 1) / size; }

int64_t padded_length(int64_t length) {
    for (const int64_t most : kLengths) {
        if (length <= most) return most;
    }
    throw BadArgument("weights: length is " + std::to_string(length) + "; the GPU has kernels for up to 128");
}

void check_weights(const mmkg_interaction_weights &w) {
    require(w.length >= 1, "weights: length is not above 0");
    for (const int64_t width : {w.text_unit_width, w.text_width, w.image_unit_width, w.cross_modal_unit_width}) {
        require(width >= 1 && width <= MMKG_MAX_UNIT_WIDTH, "weights: a width is not from 1 to 2^12");
    }
    require(w.norm_epsilon > 0 && std::isfinite(w.norm_epsilon), "weights: norm_epsilon is not above 0, or not finite");
}

// Vectors in the order in which kernels take them, copied into one block of GPU memory.
class Vectors {
public:
    explicit Vectors(const mmkg_interaction_weights &w) {
        add(w.context_weight, w.text_unit_width);
        add(w.context_bias, w.text_unit_width);
        for (const mmkg_dual_weights *dual : {&w.by_entity, &w.by_mention}) {
            for (const float *vector : {dual->to_gate, dual->context, dual->scale, dual->shift}) {
                add(vector, w.image_unit_width);
            }
            require(std::isfinite(dual->gate_offset) && std::isfinite(dual->context_square),
                    "weights: a number is not finite");
        }
    }

    void copy_to(const mmkg_gpu &gpu) {
        memory = std::make_unique<Memory>(gpu, static_cast<int64_t>(host.size() * sizeof(float)));
        check(gpu.api.copy_to_device(memory->address, host.data(), host.size() * sizeof(float), nullptr),
              "copy weights to the GPU");
        check(gpu.api.stream_synchronize(nullptr), "copy weights to the GPU");
    }

    Address operator[](size_t number) const { return memory->address + starts[number] * sizeof(float); }

private:
    void add(const float *vector, int64_t width) {
        require(vector != nullptr, "a weight is NULL");
        starts.push_back(host.size());
        for (int64_t i = 0; i < width; ++i) {
            require(std::isfinite(vector[i]), "weights: one holds NaN or infinity");
            host.push_back(vector[i]);
        }
        host.resize(parts(static_cast<int64_t>(host.size()), 64) * 64);  // the next at a multiple of 256 bytes
    }

    std::vector<float> host;
    std::vector<size_t> starts;
    std::unique_ptr<Memory> memory;
};

}  // namespace

}  // namespace mmkg::cuda

struct mmkg_gpu_interaction {
    mmkg_gpu_interaction(mmkg_gpu &gpu_, const mmkg_interaction_weights &w, bool half_)
        : gpu(gpu_), sizes(w), half(half_), length(mmkg::cuda::padded_length(w.length)), vectors(w) {
        const std::string stored = half ? "half" : "single", of_length = "_" + std::to_string(length);
        keys = half ? &gpu.kernel("interaction_keys" + of_length) : nullptr;
        text = &gpu.kernel("interaction_text_" + stored + of_length);
        image = &gpu.kernel("interaction_image_" + stored);
        vectors.copy_to(gpu);
        sizes.context_weight = sizes.context_bias = nullptr;  // of the caller
        sizes.by_entity.to_gate = sizes.by_entity.context = sizes.by_entity.scale = sizes.by_entity.shift = nullptr;
        sizes.by_mention.to_gate = sizes.by_mention.context = sizes.by_mention.scale = sizes.by_mention.shift = nullptr;
    }

    struct Call {
        const mmkg_gpu_mention_pieces &mentions;
        const int64_t num_mentions;
        const mmkg_gpu_entity_pieces &entities;
        const mmkg::cuda::Address candidates;
        const int64_t listed, count;  // candidates, 0 without; scores of a mention
        const mmkg::cuda::Address scores, wrong;
    };
    void launch(const Call &call, mmkg::cuda::Stream stream) const;

    mmkg_gpu &gpu;

private:
    void launch_text(const Call &call, mmkg::cuda::Stream stream) const;
    void launch_image(const Call &call, mmkg::cuda::Stream stream) const;

    mmkg_interaction_weights sizes;
    const bool half;       // entities are float16
    const int64_t length;  // that of a kernel
    mmkg::cuda::Vectors vectors;
    const mmkg::cuda::Kernel *keys, *text, *image;
};

void mmkg_gpu_interaction::launch(const Call &call, mmkg::cuda::Stream stream) const {
    mmkg::cuda::check(gpu.api.fill(call.wrong, 0, sizeof(int32_t), stream), "clear memory of the GPU");
    launch_text(call, stream);
    launch_image(call, stream);
}

void mmkg_gpu_interaction::launch_text(const Call &call, mmkg::cuda::Stream stream) const {
    using namespace mmkg::cuda;
    const int64_t padded = parts(sizes.text_unit_width, kChunk) * kChunk;
    // float16 [mentions, length, padded] twice, float32 [mentions]; any address where entities are float32.
    const int64_t key_bytes = half ? Workspace::rounded(2 * call.num_mentions * length * padded) : 0;
    const int64_t unit_bytes = Workspace::rounded(4 * call.num_mentions);
    Workspace work(gpu, 2 * key_bytes + unit_bytes, stream);
    const Address high = work.take(key_bytes), low = work.take(key_bytes), units = work.take(unit_bytes);
    const auto with_sizes = [&](Arguments &arguments) -> Arguments & {
        return arguments.integer(sizes.length).integer(sizes.text_unit_width).integer(padded);
    };
    if (half) {
        Arguments arguments;
        arguments.address(call.mentions.keys).address(high).address(low).address(units);
        keys->launch({call.num_mentions}, with_sizes(arguments), stream);
    }
    Arguments arguments;
    for (const Address piece : {call.mentions.keys, high, low, units, call.mentions.values, call.mentions.text,
                                call.entities.queries, call.entities.cls, call.entities.text, call.candidates,
                                vectors[0], vectors[1], call.scores, call.wrong}) {
        arguments.address(piece);
    }
    arguments.integer(call.num_mentions).integer(call.count).integer(call.listed);
    with_sizes(arguments).integer(sizes.text_width).number(sizes.norm_epsilon);
    text->launch({call.num_mentions * parts(call.count, kTextEntities)}, arguments, stream);
}

void mmkg_gpu_interaction::launch_image(const Call &call, mmkg::cuda::Stream stream) const {
    using namespace mmkg::cuda;
    Arguments arguments;
    for (const Address piece : {call.mentions.dual_key, call.mentions.dual_query, call.mentions.fused,
                                call.entities.dual_query, call.entities.dual_key, call.entities.fused,
                                call.candidates}) {
        arguments.address(piece);
    }
    for (size_t vector = 2; vector < 10; ++vector) arguments.address(vectors[vector]);
    const auto unit_bytes = static_cast<Address>(call.num_mentions * call.count) * sizeof(float);
    arguments.address(call.scores + unit_bytes).address(call.scores + 2 * unit_bytes).address(call.wrong);
    arguments.integer(call.num_mentions).integer(call.count).integer(call.listed);
    arguments.integer(sizes.image_unit_width).integer(sizes.cross_modal_unit_width).number(sizes.norm_epsilon);
    for (const mmkg_dual_weights *dual : {&sizes.by_entity, &sizes.by_mention}) {
        arguments.number(dual->gate_offset).number(dual->context_square);
    }
    const int64_t tiles = parts(call.num_mentions, kTileMentions) * parts(call.count, kTileEntities);
    image->launch({tiles}, arguments, stream);
}

mmkg_status mmkg_gpu_interaction_open(mmkg_gpu *gpu, const mmkg_interaction_weights *weights, int32_t entity_dtype,
                                      mmkg_gpu_interaction **interaction) {
    return mmkg::cuda::on_gpu(gpu, [&] {
        using mmkg::require;
        require(interaction, "interaction is NULL");
        require(weights, "weights is NULL");
        mmkg::cuda::check_weights(*weights);
        require(entity_dtype == MMKG_ENTITY_FLOAT32 || entity_dtype == MMKG_ENTITY_FLOAT16,
                "entity_dtype is none of mmkg_entity_dtype");
        *interaction = new mmkg_gpu_interaction(*gpu, *weights, entity_dtype == MMKG_ENTITY_FLOAT16);
    });
}

void mmkg_gpu_interaction_close(mmkg_gpu_interaction *interaction) {
    if (!interaction) return;
    // Memory is freed within the GPU's context; what a lost GPU answers is of no use here.
    mmkg::cuda::on_gpu(&interaction->gpu, [&] { delete interaction; });
}

mmkg_status mmkg_gpu_interaction_scores(const mmkg_gpu_interaction *interaction,
                                        const mmkg_gpu_mention_pieces *mentions, int64_t num_mentions,
                                        const mmkg_gpu_entity_pieces *entities, int64_t num_entities,
                                        uint64_t candidates, int64_t num_candidates, uint64_t scores, uint64_t wrong,
                                        uint64_t stream) {
    return mmkg::cuda::on_gpu(interaction ? &interaction->gpu : nullptr, [&] {
        using mmkg::require;
        require(mentions && entities, "mentions or entities is NULL");
        require(num_mentions >= 1 && num_mentions <= MMKG_MAX_MENTIONS, "num_mentions is not from 1 to 2^20");
        require(num_entities >= 1 && num_entities <= MMKG_MAX_ROWS, "num_entities is not from 1 to 2^31 - 1");
        const int64_t count = candidates ? num_candidates : num_entities;
        require(count >= 1 && count <= MMKG_MAX_ROWS, "num_candidates is not from 1 to 2^31 - 1");
        // Stores of all three units start at multiples of 16 bytes only if each has a multiple of 4 scores; see launch.
        const auto &m = *mentions;
        require(m.keys && m.values && m.text && m.dual_key && m.dual_query && m.fused,
                "a piece of the mentions is NULL");
        const auto &e = *entities;
        require(e.queries && e.cls && e.text && e.dual_query && e.dual_key && e.fused,
                "a piece of the entities is NULL");
        require(scores && wrong, "scores or wrong is NULL");
        interaction->launch({m, num_mentions, e, candidates, candidates ? num_candidates : 0, count, scores, wrong},
                            mmkg::cuda::stream_of(stream));
    });
}
