#include "mmkg/model.hpp"

#include "guarded.hpp"
#include "model_state.hpp"
#include "threads.hpp"

namespace mmkg {

using namespace internal;

namespace {

// The bundle, which is one to predict links with.
const Bundle &predicting(const Bundle &bundle) {
    if (!bundle.opened().config().links()) return bundle;
    throw Error(Fault::bundle, "a bundle of " + bundle.family() +
                                   " links mentions to entities. Open it as mmkg::Linker.");
}

}  // namespace

Model::State::State(const Bundle &from, const Options &options)
    : bundle(predicting(from)),
      threads(threads_of(options.threads)),
      pool(open_pool(threads)),
      graphs(opened(), threads, options),
      gpu(open_gpu(options)),
      queries(query_vectors(opened(), pool.get())),
      table_(std::make_shared<const EntityTable>(opened(), *queries, pool.get(), gpu.get())) {}

std::shared_ptr<const EntityTable> Model::State::entities() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return table_;
}

void Model::State::replace(std::shared_ptr<const EntityTable> longer) {
    const std::lock_guard<std::mutex> lock(mutex_);
    table_ = std::move(longer);
}

const KnownTriples &Model::State::known_triples() const {
    std::call_once(index_made, [&] { index = std::make_unique<const KnownTriples>(opened()); });
    return *index;
}

const EntityEncoder &Model::State::encoder() const {
    std::call_once(encoder_made, [&] { encoder_ = entity_encoder(opened(), pool.get(), graphs); });
    return *encoder_;
}

Model::Model(const Bundle &bundle, const Options &options) {
    guarded([&] { state_ = std::make_unique<State>(bundle, options); });
}

Model::~Model() = default;
Model::Model(Model &&) noexcept = default;
Model &Model::operator=(Model &&) noexcept = default;

std::vector<Answer> Model::predict_tails(const std::string &head, const std::string &relation, int k) const {
    return std::move(predict({tail_query(head, relation)}, {k}).front().answers);
}

std::vector<Answer> Model::predict_heads(const std::string &relation, const std::string &tail, int k) const {
    return std::move(predict({head_query(relation, tail)}, {k}).front().answers);
}

Query Model::tail_query(const std::string &head, const std::string &relation) const {
    return {entities().id_of(head), relations().id_of(relation), Missing::tail};
}

Query Model::head_query(const std::string &relation, const std::string &tail) const {
    return {entities().id_of(tail), relations().id_of(relation), Missing::head};
}

Candidates Model::candidates(const std::vector<std::string> &labels) const {
    return guarded([&] { return Candidates(candidate_ids(labels, entities())); });
}

Candidates Model::candidates(std::vector<int64_t> ids) const {
    return guarded([&] { return Candidates(candidate_ids(std::move(ids), entities())); });
}

std::vector<float> Model::entity_vectors(const std::vector<int64_t> &ids) const {
    return guarded([&] {
        const auto table = state_->entities();
        std::vector<float> vectors;
        for (size_t i = 0; i < ids.size(); ++i) {
            check_id(ids[i], table->labels(), i, ids.size());
            const float *row = table->row(ids[i]);
            vectors.insert(vectors.end(), row, row + table->width());
        }
        return vectors;
    });
}

std::vector<float> Model::encode_entities(const std::vector<EntityTokens> &entities) const {
    return guarded([&] { return state_->encoder().encode(entities); });
}

std::vector<float> Model::encode_entities(const std::vector<EntityFeatures> &entities) const {
    return guarded([&] { return state_->encoder().encode(entities); });
}

std::vector<int64_t> Model::add_entities(const std::vector<std::string> &labels,
                                         const std::vector<EntityTokens> &entities) {
    return add(labels, entities.size(), encode_entities(entities));
}

std::vector<int64_t> Model::add_entities(const std::vector<std::string> &labels,
                                         const std::vector<EntityFeatures> &entities) {
    return add(labels, entities.size(), encode_entities(entities));
}

std::vector<int64_t> Model::add(const std::vector<std::string> &labels, size_t count,
                                const std::vector<float> &vectors) {
    return guarded([&] {
        if (labels.size() != count) {
            throw Error(Fault::query, std::to_string(labels.size()) + " labels and inputs of " +
                                          std::to_string(count) + " entities; expected equally many.");
        }
        const std::lock_guard<std::mutex> lock(state_->growing);
        const auto before = state_->entities();
        if (!labels.empty()) state_->replace(before->with(labels, vectors));
        std::vector<int64_t> ids;
        for (size_t i = 0; i < labels.size(); ++i) ids.push_back(before->rows() + static_cast<int64_t>(i));
        return ids;
    });
}

Labels Model::entities() const { return state_->entities()->labels(); }

Labels Model::relations() const { return state_->opened().relations; }

int64_t Model::width() const noexcept { return state_->opened().config().table_width(); }

int Model::threads() const noexcept { return state_->threads; }

const Bundle &Model::bundle() const noexcept { return state_->bundle; }

}  // namespace mmkg
