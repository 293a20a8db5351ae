// Which answers of a query are known already.
#pragma once

#include <cstdint>
#include <vector>

#include "mmkg/query.hpp"
#include "mmkg_answer.h"
#include "opened.hpp"

namespace mmkg::internal {

// Some numbers that lie one behind the other.
struct Numbers {
    const int64_t *first = nullptr;
    int64_t count = 0;

    const int64_t *begin() const noexcept { return first; }
    const int64_t *end() const noexcept { return first + count; }
};

// An index from query to known answers, in both directions:
//
//   keys      ascending; ((relation * 2 + missing) << 32) + entity
//   offsets   the answers of key i are answers[offsets[i]] up to answers[offsets[i + 1]], ascending, none twice
class KnownTriples {
public:
    // The one that a bundle has, or what its triples give. opened: must stay.
    explicit KnownTriples(const Opened &opened);

    // All of it as the kernels read it.
    mmkg_known_triples described() const noexcept;

    // The known answers of a query; they stay as long as this index.
    Numbers answers(const Query &query) const noexcept;

private:
    void make(const Tensors &splits);

    std::vector<int64_t> made_keys_, made_offsets_, made_answers_;
    Array<int64_t> stored_keys_, stored_offsets_, stored_answers_;
    Numbers keys_, offsets_, answers_;  // those of either
};

}  // namespace mmkg::internal
