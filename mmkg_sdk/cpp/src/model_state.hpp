// What a model is made of.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "arguments.hpp"
#include "entity_table.hpp"
#include "known_triples.hpp"
#include "mmkg/model.hpp"
#include "mygo.hpp"
#include "opened.hpp"
#include "query_vectors.hpp"

namespace mmkg {

struct Model::State {
    State(const Bundle &from, int asked);

    const internal::Opened &opened() const noexcept { return bundle.opened(); }

    // The entities as they are now; they stay as long as somebody has them.
    std::shared_ptr<const internal::EntityTable> entities() const;

    // Made with the first query that asks for them.
    const internal::KnownTriples &known_triples() const;

    // Made with the first entity. Throws Error (query): this bundle's entities are encoded by a graph.
    const internal::TokenEncoder &token_encoder() const;

    // What the entities of a table are scored against, float32 [batch, width], finite.
    std::vector<float> vectors(const internal::EntityTable &of, const internal::Columns &asked) const;

    const Bundle bundle;
    const int threads;
    const internal::Pool pool;
    const std::unique_ptr<const internal::QueryVectors> queries;

    // Puts another table in the place of this one.
    void replace(std::shared_ptr<const internal::EntityTable> longer);

    std::mutex growing;  // of who adds entities; others answer meanwhile

private:
    mutable std::mutex mutex_;  // of the pointer
    std::shared_ptr<const internal::EntityTable> table_;
    mutable std::once_flag index_made, encoder_made;
    mutable std::unique_ptr<const internal::KnownTriples> index;
    mutable std::unique_ptr<const internal::TokenEncoder> encoder;
};

}  // namespace mmkg
