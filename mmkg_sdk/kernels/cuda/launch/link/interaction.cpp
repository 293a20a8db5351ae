// MIMIC's late interaction on a GPU: weights, sizes and grids of triton/link/interaction.py.
#include "cuda/launch/link/interaction.h"

#include <string>

namespace mmkg::cuda {

namespace {

// Of the sources: coordinates that are read at a time, and texts that there are kernels for.
constexpr int64_t kChunk = 32, kLengths[] = {64, 128};

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

}  // namespace

}  // namespace mmkg::cuda

mmkg_gpu_interaction::mmkg_gpu_interaction(mmkg_gpu &gpu_, const mmkg_interaction_weights &w, bool half_)
    : gpu(gpu_), sizes(w), unit_means(gpu.kernel("unit_means")), select_best(gpu.kernel("select_best")),
      target_ranks(gpu.kernel("target_ranks")), half(half_), length(mmkg::cuda::padded_length(w.length)), vectors(w) {
    const std::string stored = half ? "half" : "single", of_length = "_" + std::to_string(length);
    keys = &gpu.kernel("interaction_keys_" + stored + of_length);
    text = &gpu.kernel("interaction_text_" + stored + of_length);
    image = &gpu.kernel("interaction_image_" + stored);
    vectors.copy_to(gpu);
}

void mmkg_gpu_interaction::launch(const Call &call, mmkg::cuda::Stream stream) const {
    mmkg::cuda::check(gpu.api.fill(call.wrong, 0, sizeof(int32_t), stream), "clear memory of the GPU");
    launch_text(call, stream);
    launch_image(call, stream);
}

void mmkg_gpu_interaction::launch_text(const Call &call, mmkg::cuda::Stream stream) const {
    using namespace mmkg::cuda;
    const int64_t padded = parts(sizes.text_unit_width, kChunk) * kChunk;
    // [mentions, length, padded]: float16 twice, or float32; float32 [mentions].
    const int64_t numbers = call.num_mentions * length * padded;
    const int64_t high_bytes = Workspace::rounded((half ? 2 : 4) * numbers);
    const int64_t low_bytes = half ? Workspace::rounded(2 * numbers) : 0;
    const int64_t unit_bytes = Workspace::rounded(4 * call.num_mentions);
    Workspace work(gpu, high_bytes + low_bytes + unit_bytes, stream);
    const Address high = work.take(high_bytes), units = work.take(unit_bytes);
    const Address low = half ? work.take(low_bytes) : high;
    const auto with_sizes = [&](Arguments &arguments) -> Arguments & {
        return arguments.integer(sizes.length).integer(sizes.text_unit_width);
    };
    Arguments of_keys;
    of_keys.address(call.mentions.keys).address(high).address(low).address(units);
    keys->launch({call.num_mentions}, with_sizes(of_keys), stream);
    Arguments arguments;
    for (const Address piece : {high, low, units, call.mentions.values, call.mentions.text,
                                call.entities.queries, call.entities.cls, call.entities.text, call.candidates,
                                vectors[0], vectors[1], call.text, call.wrong}) {
        arguments.address(piece);
    }
    arguments.integer(call.num_mentions).integer(call.count).integer(call.listed);
    with_sizes(arguments).integer(sizes.text_width).number(sizes.norm_epsilon);
    text->launch({call.num_mentions * parts(call.count, text->constant("ENTITIES"))}, arguments, stream);
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
    arguments.address(call.image).address(call.image_text).address(call.wrong);
    arguments.integer(call.num_mentions).integer(call.count).integer(call.listed);
    arguments.integer(sizes.image_unit_width).integer(sizes.cross_modal_unit_width).number(sizes.norm_epsilon);
    for (const mmkg_dual_weights *dual : {&sizes.by_entity, &sizes.by_mention}) {
        arguments.number(dual->gate_offset).number(dual->context_square);
    }
    const int64_t tiles = parts(call.num_mentions, image->constant("MENTIONS")) *
                          parts(call.count, image->constant("ENTITIES"));
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
    // A lost GPU refuses the scope; its memory is gone with it.
    mmkg::cuda::on_gpu(&interaction->gpu, [&] { delete interaction; });
}

namespace mmkg::cuda {

namespace {

void check_entities(const mmkg_gpu_entity_pieces *entities, int64_t num_entities) {
    require(entities, "entities is NULL");
    require(num_entities >= 0 && num_entities <= MMKG_MAX_ROWS, "num_entities is not from 0 to 2^31 - 1");
    const auto &e = *entities;
    require(e.queries && e.cls && e.text && e.dual_query && e.dual_key && e.fused, "a piece of the entities is NULL");
}

template <class Pieces>
void check_mentions(const Pieces *mentions, int64_t num_mentions) {
    require(mentions, "mentions is NULL");
    require(num_mentions >= 0 && num_mentions <= MMKG_MAX_MENTIONS, "num_mentions is not from 0 to 2^20");
    const auto &m = *mentions;
    require(m.keys && m.values && m.text && m.dual_key && m.dual_query && m.fused, "a piece of the mentions is NULL");
}

}  // namespace

void Asked::check() const {
    check_mentions(mentions, num_mentions);
    check_entities(entities, num_entities);
    require(count() >= 0 && count() <= MMKG_MAX_ROWS, "num_candidates is not from 0 to 2^31 - 1");
    if (nothing()) return;
    for (int64_t i = 0; i < listed(); ++i) {
        require(candidates[i] >= 0 && candidates[i] < num_entities, "candidates: one is no row of the entities");
    }
    for (int64_t i = 0; targets && i < num_mentions; ++i) {
        require(targets[i] >= 0 && targets[i] < num_entities, "targets: one is no row of the entities");
    }
}

Brought::Brought(const mmkg_interaction_weights &w, const Asked &asked) : placed(asked.placed) {
    const int64_t count = placed ? 0 : asked.num_mentions;
    const int64_t text_unit = w.length * w.text_unit_width, dual = 3 * w.image_unit_width;
    const mmkg_mention_pieces &given = *asked.mentions;
    add(given.keys, count * text_unit * 4);
    add(given.values, count * text_unit * 4);
    add(given.text, count * w.text_width * 4);
    add(given.dual_key, count * dual * 4);
    add(given.dual_query, count * dual * 4);
    add(given.fused, count * w.cross_modal_unit_width * 4);
    add(asked.candidates, asked.listed() * 8);
    add(asked.targets, asked.targets ? asked.num_mentions * 8 : 0);
}

void Brought::add(const void *from, int64_t bytes) {
    pieces.push_back({from, total, bytes});
    total += Workspace::rounded(bytes);
}

void Brought::copy(const Api &api, const Pinned &staging, Address to, Stream stream) {
    for (const Piece &piece : pieces) {
        if (piece.bytes > 0) std::memcpy(staging.at(piece.start), piece.from, static_cast<size_t>(piece.bytes));
    }
    check(api.copy_to_device(to, staging.at(), static_cast<size_t>(total), stream), "copy mentions to the GPU");
    start = to;
}

Scoring::Scoring(const mmkg_gpu_interaction &interaction, const Asked &asked, bool whole, int64_t more, Stream stream_)
    : gpu(interaction.gpu), stream(stream_), brought(interaction.sizes, asked),
      unit_bytes(Workspace::rounded(4 * asked.num_mentions * asked.count())), more_bytes(more),
      back((whole ? 3 * unit_bytes : 0) + Workspace::rounded(4) + more), sent(gpu.pinned, gpu.api, brought.bytes()),
      received(gpu.pinned, gpu.api, back),
      work(gpu, brought.bytes() + 3 * unit_bytes + Workspace::rounded(4) + Workspace::rounded(more), stream),
      waiting(gpu, stream) {
    brought.copy(gpu.api, sent, work.take(brought.bytes()), stream);
    found = work.take(work.bytes - brought.bytes());
    const mmkg_gpu_mention_pieces pieces = brought.mentions();
    interaction.launch({pieces, asked.num_mentions, *asked.entities, brought.candidates(), asked.listed(), asked.count(),
                        unit(0), unit(1), unit(2), unit(3)},
                       stream);
}

void Scoring::bring_back() {
    const bool whole = back > Workspace::rounded(4) + more_bytes;
    check(gpu.api.copy_to_host(received.at(), unit(whole ? 0 : 3), static_cast<size_t>(back), stream),
          "copy from the GPU");
    waiting.wait("score mentions on the GPU");
    if (*received.at<int32_t>(whole ? 3 * unit_bytes : 0) != 0) throw mmkg::NotANumber();
}

}  // namespace mmkg::cuda

mmkg_status mmkg_gpu_interaction_scores(const mmkg_gpu_interaction *interaction, const mmkg_mention_pieces *mentions,
                                        int64_t num_mentions, const mmkg_gpu_entity_pieces *entities,
                                        int64_t num_entities, const int64_t *candidates, int64_t num_candidates,
                                        float *text, float *image, float *image_text, uint64_t on_stream) {
    using namespace mmkg::cuda;
    return on_gpu(interaction ? &interaction->gpu : nullptr, [&] {
        const Asked asked{mentions, num_mentions, entities, num_entities, candidates, num_candidates, nullptr};
        asked.check();
        if (asked.nothing()) return;
        mmkg::require(text && image && image_text, "text, image or image_text is NULL");
        Scoring scoring(*interaction, asked, true, 0, stream_of(on_stream));
        scoring.bring_back();
        float *const out[] = {text, image, image_text};
        scoring.copy_scores(out, num_mentions * asked.count());
    });
}

mmkg_status mmkg_gpu_interaction_launch(const mmkg_gpu_interaction *interaction,
                                        const mmkg_gpu_mention_pieces *mentions, int64_t num_mentions,
                                        const mmkg_gpu_entity_pieces *entities, int64_t num_entities,
                                        uint64_t candidates, int64_t num_candidates, uint64_t text, uint64_t image,
                                        uint64_t image_text, uint64_t wrong, uint64_t stream) {
    using namespace mmkg::cuda;
    return on_gpu(interaction ? &interaction->gpu : nullptr, [&] {
        using mmkg::require;
        check_mentions(mentions, num_mentions);
        check_entities(entities, num_entities);
        const int64_t count = candidates ? num_candidates : num_entities, listed = candidates ? num_candidates : 0;
        require(num_mentions >= 1 && count >= 1 && count <= MMKG_MAX_ROWS,
                "num_mentions is 0, or num_candidates not from 1 to 2^31 - 1");
        require(text && image && image_text && wrong, "text, image, image_text or wrong is NULL");
        interaction->launch({*mentions, num_mentions, *entities, candidates, listed, count, text, image, image_text, wrong},
                            stream_of(stream));
    });
}
