#include "query/rotation.h"

#include "common/finite.h"
#include "common/float_mode.h"
#include "common/status.h"
#include "query/query_context.h"

namespace mmkg {

void require_rotations(const Rotations &rotations) {
    require(rotations.rotations, "rotations is NULL");
    require(rotations.relations >= 1 && rotations.relations <= MMKG_MAX_ROWS, "relations is not from 1 to 2^31 - 1");
    require(rotations.width >= 2 && rotations.width <= MMKG_MAX_WIDTH && rotations.width % 2 == 0,
            "width is not an even number from 2 to 2^20");
}

// No sum is long and nothing is fused (CMakeLists.txt), so plain code has the bits of every instruction set; it takes
// a small part of what the scan behind it does.
void rotate(const Rotations &rotations, const float *table, const Questions &questions, float *queries) {
    const int64_t width = rotations.width, half = width / 2;
    for (int64_t i = 0; i < questions.batch; ++i) {
        const float *real = table + questions.entity[i] * width, *imaginary = real + half;
        const float *cosine = rotations.rotations + questions.relation[i] * width, *sine = cosine + half;
        const float sign = questions.direction[i] ? -1.0f : 1.0f;
        float *to = queries + i * width;
        for (int64_t j = 0; j < half; ++j) {
            const float turned = sign * sine[j];
            to[j] = real[j] * cosine[j] - imaginary[j] * turned;
            to[half + j] = real[j] * turned + imaginary[j] * cosine[j];
        }
        if (first_not_finite(to, width, MMKG_FP32) < width) throw NotANumber();
    }
}

}  // namespace mmkg

mmkg_status mmkg_rotation_apply(const float *table, int64_t rows, int64_t width, const float *rotations,
                                int64_t relations, const int64_t *entity, const int64_t *relation,
                                const int64_t *direction, int64_t batch, float *queries) {
    return mmkg::guarded([&] {
        using mmkg::require;
        const mmkg::Rotations weights{rotations, relations, width};
        mmkg::require_rotations(weights);
        require(batch >= 0 && batch <= INT32_MAX, "batch is negative or above 2^31 - 1");
        if (batch == 0) return;
        require(table && rows >= 1 && rows <= MMKG_MAX_ROWS, "table is NULL, or rows are not from 1 to 2^31 - 1");
        require(entity && relation && direction, "entity, relation or direction is NULL");
        require(queries, "queries is NULL");
        mmkg::require_ids("entity", entity, batch, rows);
        mmkg::require_ids("relation", relation, batch, relations);
        mmkg::require_ids("direction", direction, batch, 2);
        const mmkg::FloatMode mode;
        mmkg::rotate(weights, table, {entity, relation, direction, batch}, queries);
    });
}
