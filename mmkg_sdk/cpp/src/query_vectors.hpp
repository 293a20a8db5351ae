// From the ids of queries to the vectors that entities are scored against.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels.hpp"
#include "mmkg/query.hpp"
#include "mmkg_cuda.h"
#include "opened.hpp"

namespace mmkg::internal {

// Ids of queries, column by column, as the kernels take them.
struct Columns {
    explicit Columns(const std::vector<Query> &queries);
    int64_t size() const noexcept { return static_cast<int64_t>(entity.size()); }

    std::vector<int64_t> entity, relation, direction;
};

// Queries of one call are taken so many at a time, which bounds the memory.
inline constexpr int64_t QUERY_CHUNK = 256;

// Rows of a table on a GPU, as mmkg_gpu_scan_rows gives them.
struct GpuRows {
    uint64_t address = 0;
    int64_t rows = 0, stride = 0;
};

// The same on a GPU. Safe to call from several threads.
class GpuQueries {
public:
    virtual ~GpuQueries() = default;

    // Puts it on a stream. vectors: an address on the GPU of float32 [batch, width].
    virtual void of(const GpuRows &table, const Columns &queries, uint64_t vectors, uint64_t stream) const = 0;
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

    // The same on a GPU, which must stay.
    //
    // Throws Error (backend): it has too little memory, or there are no kernels for this width.
    virtual std::unique_ptr<const GpuQueries> on_gpu(mmkg_gpu *gpu) const = 0;
};

// Of a bundle's family.
//
//   opened, pool   must stay
//
// Throws Error (backend): weights that are missing, unknown, misshapen or not finite.
std::unique_ptr<const QueryVectors> query_vectors(const Opened &opened, mmkg_pool *pool);

}  // namespace mmkg::internal
