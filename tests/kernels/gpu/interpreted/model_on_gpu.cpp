// mmkg::Model behind C functions, for test_cpp_on_gpu.py: the stand-in for the driver calls back into that process.
#include <memory>
#include <string>
#include <vector>

#include "mmkg/model.hpp"

namespace {

std::string said;

template <class Work>
bool done(Work work) {
    try {
        work();
        return true;
    } catch (const mmkg::Error &error) {
        said = error.what();
        return false;
    }
}

}  // namespace

#define SEEN extern "C" __attribute__((visibility("default")))

SEEN const char *last_error() { return said.c_str(); }

SEEN mmkg::Model *open_model(const char *bundle, const char *device, const char *image) {
    std::unique_ptr<mmkg::Model> model;
    mmkg::Options options;
    options.threads = 1, options.device = device, options.cuda_image = image;
    return done([&] { model = std::make_unique<mmkg::Model>(bundle, options); }) ? model.release() : nullptr;
}

SEEN void close_model(mmkg::Model *model) { delete model; }

// queries: entity, relation and direction of each. filter: 0 or 1. candidates: or NULL. ids, scores: k a query, of
// which counts[i] are written.
SEEN bool predict(const mmkg::Model *model, const int64_t *queries, int64_t count, int k, int filter,
                  const int64_t *candidates, int64_t num_candidates, int64_t *ids, float *scores, int64_t *counts) {
    return done([&] {
        mmkg::Asking asking;
        asking.k = k, asking.filter_known = filter != 0;
        if (candidates != nullptr)
            asking.candidates = model->candidates(std::vector<int64_t>(candidates, candidates + num_candidates));
        std::vector<mmkg::Query> asked;
        for (const int64_t *at = queries; at < queries + 3 * count; at += 3)
            asked.push_back({at[0], at[1], static_cast<mmkg::Missing>(at[2])});
        for (const mmkg::Ranking &ranking : model->predict(asked, asking)) {
            *counts++ = static_cast<int64_t>(ranking.answers.size());
            for (size_t i = 0; i < ranking.answers.size(); ++i)
                ids[i] = ranking.answers[i].id, scores[i] = ranking.answers[i].score;
            ids += k, scores += k;
        }
    });
}

SEEN bool score(const mmkg::Model *model, int64_t head, int64_t relation, int64_t tail, float *found) {
    return done([&] { *found = model->score_triples({{head, relation, tail}}).front(); });
}

// A new entity of MyGO with one token of each kind; its vector is written.
SEEN bool add(mmkg::Model *model, const char *label, float *vector) {
    return done([&] {
        const std::vector<int64_t> ids = model->add_entities({label}, {mmkg::EntityTokens{{1}, {0}, {}}});
        for (const float number : model->entity_vectors(ids)) *vector++ = number;
    });
}
