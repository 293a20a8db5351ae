// model.hpp: labels in, ranked labels out.
//
//     const mmkg::Model model("bundle");
//     for (const mmkg::Answer &answer : model.predict_tails("Norway", "capital", 3)) std::cout << answer.label << '\n';
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "mmkg/bundle.hpp"
#include "mmkg/error.hpp"
#include "mmkg/labels.hpp"
#include "mmkg/options.hpp"
#include "mmkg/query.hpp"

namespace mmkg {

// What MyGO encodes an entity from.
struct EntityTokens {
    std::vector<int64_t> visual, text;  // rows of each codebook; empty: it has no image, no text
    std::vector<float> structure;       // its structural embedding, [width]; empty takes the mean of the trained ones
};

// What AdaMF-MAT encodes an entity from.
struct EntityFeatures {
    std::vector<float> visual, text;  // from the models that made the training features; empty: no image, no text
    std::vector<float> structure;     // as of EntityTokens
};

// A bundle of MyGO or AdaMF-MAT that answers (head, relation, ?) and (?, relation, tail), with the same bits as
// mmkg_sdk.Model with its kernels. Safe to call from several threads; of calls that meet, one has the threads, the
// others run on their own.
//
// All functions throw Error: (query) for what a caller may not pass, (backend) where a number is too large for float32,
// (memory).
class MMKG_MODEL_API Model {
public:
    // Opens and verifies a bundle and makes its kernels ready.
    //
    // Throws Error (bundle), (backend).
    explicit Model(const std::filesystem::path &bundle, const Options &options = {})
        : Model(Bundle(bundle, options.follow_links), options) {}
    explicit Model(const Bundle &bundle, const Options &options = {});
    ~Model();
    Model(Model &&) noexcept;
    Model &operator=(Model &&) noexcept;

    // The best tails of (head, relation, ?), heads of (?, relation, tail), best first.
    std::vector<Answer> predict_tails(const std::string &head, const std::string &relation, int k = 10) const;
    std::vector<Answer> predict_heads(const std::string &relation, const std::string &tail, int k = 10) const;

    // The answers of some queries, in their order.
    std::vector<Ranking> predict(const std::vector<Query> &queries, const Asking &asking = {}) const;

    // A query in labels.
    Query tail_query(const std::string &head, const std::string &relation) const;
    Query head_query(const std::string &relation, const std::string &tail) const;

    // Entities to rank alone, prepared once for any number of calls; repeated ones count once.
    Candidates candidates(const std::vector<std::string> &labels) const;
    Candidates candidates(std::vector<int64_t> ids) const;

    // The score of each triple as a tail prediction, to the bit the one that `predict` gives its tail.
    std::vector<float> score_triples(const std::vector<Triple> &triples) const;

    // The encoded entities, float [n, width].
    std::vector<float> entity_vectors(const std::vector<int64_t> &ids) const;

    // Encode entities: float [n, width]. MyGO takes tokens, AdaMF-MAT features. Kernels encode MyGO with one entity
    // layer; graphs do the rest, which need ONNX Runtime (docs/cpp.md).
    //
    // Throws Error (query): what the other family takes; a token that the codebook does not have, more tokens than the
    // graphs were made for; features or structure of another width or with NaN. (backend): also where a graph is needed
    // and there is no ONNX Runtime.
    std::vector<float> encode_entities(const std::vector<EntityTokens> &entities) const;
    std::vector<float> encode_entities(const std::vector<EntityFeatures> &entities) const;

    // Encode new entities and make them candidates of this model (in memory, not in the bundle). Calls that run answer
    // from the entities as they were.
    //
    // Gives their ids. Throws Error: what encode_entities throws; (query) also for a label that is taken or is none,
    // and unequal lengths.
    std::vector<int64_t> add_entities(const std::vector<std::string> &labels,
                                      const std::vector<EntityTokens> &entities);
    std::vector<int64_t> add_entities(const std::vector<std::string> &labels,
                                      const std::vector<EntityFeatures> &entities);

    // Labels of all entities, those added later at the end; of all relations.
    Labels entities() const;
    Labels relations() const;

    int64_t width() const noexcept;  // of an encoded entity
    int threads() const noexcept;    // of a call
    const Bundle &bundle() const noexcept;

private:
    std::vector<int64_t> add(const std::vector<std::string> &labels, size_t count, const std::vector<float> &vectors);

    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace mmkg
