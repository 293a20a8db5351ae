// From the ids of queries to the vectors that entities are scored against.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels.hpp"
#include "mmkg/query.hpp"
#include "opened.hpp"

namespace mmkg::internal {

// Ids of queries, column by column, as the kernels take them.
struct Columns {
    explicit Columns(const std::vector<Query> &queries);
    int64_t size() const noexcept { return static_cast<int64_t>(entity.size()); }

    std::vector<int64_t> entity, relation, direction;
};

// What does the work of a bundle's query graph. Safe to call from several threads.
class QueryVectors {
public:
    virtual ~QueryVectors() = default;

    // float32 [batch, width], finite.
    //
    //   table   float32 [rows, width], the entities
    //
    // Throws Error (backend): a vector is not finite.
    virtual std::vector<float> of(const float *table, int64_t rows, const Columns &queries) const = 0;

    // Fills in what an answer needs besides the table; it stays as long as this.
    virtual void describe(mmkg_answer_parts &parts) const = 0;
};

// Of a bundle's family.
//
//   opened, pool   must stay
//
// Throws Error (backend): weights that are missing, unknown, misshapen or not finite.
std::unique_ptr<const QueryVectors> query_vectors(const Opened &opened, mmkg_pool *pool);

}  // namespace mmkg::internal
