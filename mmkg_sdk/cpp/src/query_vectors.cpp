#include "query_vectors.hpp"

#include "adamf_mat.hpp"
#include "mygo.hpp"

namespace mmkg::internal {

Columns::Columns(const std::vector<Query> &queries) {
    for (const Query &query : queries) {
        entity.push_back(query.entity);
        relation.push_back(query.relation);
        direction.push_back(static_cast<int64_t>(query.missing));
    }
}

std::unique_ptr<const QueryVectors> query_vectors(const Opened &opened, mmkg_pool *pool) {
    return opened.config().family == Family::mygo ? mygo_queries(opened, pool) : adamf_mat_queries(opened);
}

}  // namespace mmkg::internal
