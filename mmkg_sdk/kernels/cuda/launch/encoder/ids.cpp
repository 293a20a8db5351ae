#include "cuda/launch/encoder/ids.h"

#include <cstring>
#include <vector>

#include "query/query_context.h"

namespace mmkg::cuda {

int64_t bytes_of_ids(int64_t batch) { return 3 * Workspace::rounded(batch * 8); }

// The source is pageable, so it has been read when the copy returns.
Ids copied_ids(const mmkg_gpu &gpu, const Ids &host, int64_t batch, const IdLimits &limits, Address to, Stream stream) {
    const int64_t column_bytes = Workspace::rounded(batch * 8);
    std::vector<char> together(static_cast<size_t>(3 * column_bytes));
    const struct {
        const char *name;
        Address from;
        int64_t limit;
    } columns[] = {{"entity", host.entities, limits.rows},
                   {"relation", host.relations, limits.relations},
                   {"direction", host.directions, 2}};
    for (int i = 0; i < 3; ++i) {
        const auto *from = reinterpret_cast<const int64_t *>(static_cast<uintptr_t>(columns[i].from));
        require_ids(columns[i].name, from, batch, columns[i].limit);
        std::memcpy(together.data() + i * column_bytes, from, static_cast<size_t>(batch * 8));
    }
    check(gpu.api.copy_to_device(to, together.data(), together.size(), stream), "copy ids to the GPU");
    const Address column = static_cast<Address>(column_bytes);
    return {to, to + column, to + 2 * column};
}

void require_questions(const Ids &ids, int64_t batch, Address table, int64_t rows) {
    require(batch >= 0 && batch <= INT32_MAX, "batch is negative or above 2^31 - 1");
    if (batch == 0) return;
    require(table && rows >= 1 && rows <= MMKG_MAX_ROWS, "table is NULL, or rows are not from 1 to 2^31 - 1");
    require(ids.entities && ids.relations && ids.directions, "entities, relations or directions is NULL");
}

void require_place(int32_t place) {
    require(place == MMKG_ON_HOST || place == MMKG_ON_GPU, "place is none of mmkg_place");
}

}  // namespace mmkg::cuda
