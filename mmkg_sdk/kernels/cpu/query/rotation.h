// The rotations of mmkg_query.h, of ids that were checked.
#pragma once

#include <cstdint>

#include "mmkg_query.h"

namespace mmkg {

struct Rotations {
    const float *rotations;
    int64_t relations, width;  // width: real parts, then as many imaginary ones
};

struct Questions {
    const int64_t *entity, *relation, *direction;
    int64_t batch;
};

// Throws if a width or a number of relations is none.
void require_rotations(const Rotations &rotations);

// queries float32 [batch, width]; throws NotANumber if one is not finite.
void rotate(const Rotations &rotations, const float *table, const Questions &questions, float *queries);

}  // namespace mmkg
