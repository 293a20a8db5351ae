// Mentions' candidates by the mean of the units, ranked on the GPU: places, ranks and the scores of the few come back.
#include <algorithm>

#include "cuda/launch/link/interaction.h"

namespace mmkg::cuda {

namespace {

void launch_means(const mmkg_gpu_interaction &interaction, const Scoring &scoring, int64_t numbers, Stream stream) {
    const Kernel &kernel = interaction.unit_means;
    kernel.launch({parts(numbers, kernel.constant("BLOCK"))},
                  Arguments().address(scoring.unit(0)).address(scoring.unit(1)).address(scoring.unit(2)).integer(numbers),
                  stream);
}

}  // namespace

}  // namespace mmkg::cuda

mmkg_status mmkg_gpu_interaction_best(const mmkg_gpu_interaction *interaction, const mmkg_mention_pieces *mentions,
                                      int64_t num_mentions, const mmkg_gpu_entity_pieces *entities,
                                      int64_t num_entities, const int64_t *candidates, int64_t num_candidates,
                                      int64_t k, int32_t *places, int64_t *chosen, float *text, float *image,
                                      float *image_text, uint64_t on_stream) {
    using namespace mmkg::cuda;
    return on_gpu(interaction ? &interaction->gpu : nullptr, [&] {
        const Asked asked{mentions, num_mentions, entities, num_entities, candidates, num_candidates, nullptr};
        mmkg::require(chosen, "chosen is NULL");
        *chosen = 0;
        asked.check();
        if (asked.nothing()) return;
        mmkg::require(k >= 1 && k <= asked.count(), "k is not from 1 to the number of candidates");
        mmkg::require(places && text && image && image_text, "places, text, image or image_text is NULL");
        const Stream stream = stream_of(on_stream);
        const int64_t bytes = 4 * num_mentions * k;
        // None is excluded: select_best is told so by lists of no length.
        const int64_t offsets_bytes = Workspace::rounded(8 * (num_mentions + 1));
        const int64_t numbers_bytes = Workspace::rounded(4 * num_mentions);
        Workspace work(interaction->gpu, offsets_bytes + 2 * numbers_bytes, stream);
        const Address offsets = work.take(offsets_bytes), lengths = work.take(numbers_bytes),
                      bounds = work.take(numbers_bytes);
        Scoring scoring(*interaction, asked, false, bytes, stream);
        launch_means(*interaction, scoring, num_mentions * asked.count(), stream);
        check(interaction->gpu.api.fill(offsets, 0, static_cast<size_t>(offsets_bytes), stream),
              "clear memory of the GPU");
        Arguments arguments;
        arguments.address(scoring.unit(0)).address(scoring.more()).address(offsets).address(bounds);
        arguments.address(scoring.more()).address(lengths).address(bounds);
        arguments.integer(asked.count()).integer(k).integer(k).integer(1);  // scores as they are: no slack
        interaction->select_best.launch({num_mentions}, arguments, stream);
        scoring.bring_back();
        std::vector<int64_t> rows(scoring.results(), scoring.results() + num_mentions * k);
        std::sort(rows.begin(), rows.end());
        rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
        std::copy(rows.begin(), rows.end(), places);
        if (candidates) {
            for (int64_t &row : rows) row = candidates[row];
        }
        // The mentions are there until `scoring` goes.
        const mmkg_gpu_mention_pieces there = scoring.mentions();
        const int64_t count = static_cast<int64_t>(rows.size());
        const Asked few{mentions, num_mentions, entities, num_entities, rows.data(), count, nullptr, &there};
        Scoring again(*interaction, few, true, 0, stream);
        again.bring_back();
        float *const out[] = {text, image, image_text};
        again.copy_scores(out, num_mentions * count);
        *chosen = count;
    });
}

mmkg_status mmkg_gpu_interaction_ranks(const mmkg_gpu_interaction *interaction, const mmkg_mention_pieces *mentions,
                                       int64_t num_mentions, const mmkg_gpu_entity_pieces *entities,
                                       int64_t num_entities, const int64_t *targets, int32_t *ranks,
                                       uint64_t on_stream) {
    using namespace mmkg::cuda;
    return on_gpu(interaction ? &interaction->gpu : nullptr, [&] {
        mmkg::require(num_mentions == 0 || (targets && ranks), "targets or ranks is NULL");
        const Asked asked{mentions, num_mentions, entities, num_entities, nullptr, 0, targets};
        asked.check();
        mmkg::require(num_mentions == 0 || num_entities > 0, "there are no entities to rank");
        if (asked.nothing()) return;
        const Stream stream = stream_of(on_stream);
        Scoring scoring(*interaction, asked, false, 4 * num_mentions, stream);
        launch_means(*interaction, scoring, num_mentions * num_entities, stream);
        interaction->target_ranks.launch({num_mentions},
                                         Arguments()
                                             .address(scoring.unit(0))
                                             .address(scoring.targets())
                                             .address(scoring.more())
                                             .integer(num_entities),
                                         stream);
        scoring.bring_back();
        std::copy_n(scoring.results(), num_mentions, ranks);
    });
}
