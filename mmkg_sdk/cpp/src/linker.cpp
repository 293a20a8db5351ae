#include "mmkg/linker.hpp"

#include <algorithm>
#include <numeric>

#include "arguments.hpp"
#include "guarded.hpp"
#include "interaction.hpp"
#include "mention_encoder.hpp"
#include "text.hpp"
#include "threads.hpp"

namespace mmkg {

using namespace internal;

namespace {

// Mentions scored at a time: each block of entities is read once for all of them, and this bounds the memory.
constexpr int64_t SCORED = 16;

// The bundle, which is one to link mentions with.
const Bundle &linking(const Bundle &bundle) {
    if (bundle.opened().config().links()) return bundle;
    throw Error(Fault::bundle, "a bundle of " + bundle.family() + " predicts links. Open it as mmkg::Model.");
}

// The best of one mention.
//
//   units   the scores of its candidates, `width` each
std::vector<Link> best_of(const std::array<const float *, 3> &units, int64_t width, int64_t k, const Labels &labels,
                          const std::vector<int64_t> *candidates) {
    std::vector<float> scores;
    for (int64_t i = 0; i < width; ++i) scores.push_back((units[0][i] + units[1][i] + units[2][i]) / 3);
    std::vector<int64_t> order(scores.size());
    std::iota(order.begin(), order.end(), 0);
    std::partial_sort(order.begin(), order.begin() + k, order.end(), [&](int64_t one, int64_t two) {
        const float first = scores[static_cast<size_t>(one)], second = scores[static_cast<size_t>(two)];
        return first != second ? first > second : one < two;
    });
    std::vector<Link> links;
    for (int64_t rank = 0; rank < k; ++rank) {
        const auto place = static_cast<size_t>(order[static_cast<size_t>(rank)]);
        const int64_t id = candidates == nullptr ? static_cast<int64_t>(place) : (*candidates)[place];
        links.push_back(
            {id, std::string(labels[id]), scores[place], units[0][place], units[1][place], units[2][place]});
    }
    return links;
}

}  // namespace

struct Linker::State {
    State(const Bundle &from, const Options &options)
        : bundle(linking(from)),
          threads(threads_of(options.threads)),
          pool(open_pool(threads)),
          interaction(bundle.opened(), pool.get()),
          graphs(bundle.opened(), threads, options),
          encoder(bundle.opened(), graphs) {}

    const Bundle bundle;
    const int threads;
    const Pool pool;
    const Interaction interaction;
    const Graphs graphs;
    const MentionEncoder encoder;
};

Linker::Linker(const Bundle &bundle, const Options &options) {
    guarded([&] {
        if (options.device != "cpu") {
            throw Error(Fault::query, "device is " + in_quotes(options.device) + "; a Linker runs on the CPU. Leave it at cpu.");
        }
        state_ = std::make_unique<State>(bundle, options);
    });
}

Linker::~Linker() = default;
Linker::Linker(Linker &&) noexcept = default;
Linker &Linker::operator=(Linker &&) noexcept = default;

MentionPieces Linker::encode_tokens(const MentionTokens &mentions) const {
    return guarded([&] { return state_->encoder.encode(mentions); });
}

std::vector<std::vector<Link>> Linker::link(const MentionPieces &mentions, int k,
                                            const std::optional<Candidates> &candidates) const {
    return guarded([&] {
        check_k(k);
        const Labels labels = entities();
        check_candidates(candidates, labels);
        const std::vector<int64_t> *some = candidates ? &candidates->ids() : nullptr;
        const int64_t width = some == nullptr ? labels.size() : static_cast<int64_t>(some->size());
        const int64_t most = std::min<int64_t>(k, width), count = state_->interaction.count(mentions);
        std::vector<std::vector<Link>> links;
        for (int64_t start = 0; start < count; start += SCORED) {
            const int64_t size = std::min(SCORED, count - start);
            const auto units = state_->interaction.scores(mentions, start, size, some);
            for (int64_t i = 0; i < size; ++i) {
                const auto of_mention = [&](size_t unit) { return units[unit].data() + i * width; };
                links.push_back(best_of({of_mention(0), of_mention(1), of_mention(2)}, width, most, labels, some));
            }
        }
        return links;
    });
}

Candidates Linker::candidates(const std::vector<std::string> &labels) const {
    return guarded([&] { return Candidates(candidate_ids(labels, entities())); });
}

Candidates Linker::candidates(std::vector<int64_t> ids) const {
    return guarded([&] { return Candidates(candidate_ids(std::move(ids), entities())); });
}

Labels Linker::entities() const { return state_->bundle.entities(); }

int Linker::threads() const noexcept { return state_->threads; }

const Bundle &Linker::bundle() const noexcept { return state_->bundle; }

}  // namespace mmkg
