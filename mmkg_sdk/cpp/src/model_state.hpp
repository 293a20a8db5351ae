// What a model is made of.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "arguments.hpp"
#include "entity_encoder.hpp"
#include "entity_table.hpp"
#include "known_triples.hpp"
#include "mmkg/model.hpp"
#include "opened.hpp"
#include "query_vectors.hpp"

namespace mmkg {

struct Model::State {
    State(const Bundle &from, const Options &options);

    const internal::Opened &opened() const noexcept { return bundle.opened(); }

    // The entities as they are now; they stay as long as somebody has them.
    std::shared_ptr<const internal::EntityTable> entities() const;

    // Made with the first query that asks for them.
    const internal::KnownTriples &known_triples() const;

    // Made with the first entity that is encoded.
    const internal::EntityEncoder &encoder() const;

    const Bundle bundle;
    const int threads;
    const internal::Pool pool;
    const internal::Graphs graphs;
    const std::unique_ptr<const internal::Gpu> gpu;  // or nullptr: the CPU ranks
    const std::unique_ptr<const internal::QueryVectors> queries;

    // Puts another table in the place of this one.
    void replace(std::shared_ptr<const internal::EntityTable> longer);

    std::mutex growing;  // of who adds entities; others answer meanwhile

private:
    mutable std::mutex mutex_;  // of the pointer
    std::shared_ptr<const internal::EntityTable> table_;
    mutable std::once_flag index_made, encoder_made;
    mutable std::unique_ptr<const internal::KnownTriples> index;
    mutable std::unique_ptr<const internal::EntityEncoder> encoder_;
};

}  // namespace mmkg
