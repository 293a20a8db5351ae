// Puts the templates of one Simd into a table of functions.
#pragma once

#include "canonical.h"
#include "tiles.h"

namespace mmkg {

template <class Simd>
InstructionSet make_set(int32_t id, const char *name) {
    using Inner1 = InnerProductTile<Simd, Simd::product_rows, 1>;
    using Inner2 = InnerProductTile<Simd, Simd::product_rows, 2>;
    using Distance1 = ComplexDistanceTile<Simd, Simd::distance_rows, 1>;
    using Distance2 = ComplexDistanceTile<Simd, Simd::distance_rows, 2>;
    static_assert(Simd::product_rows <= kMaxTileRows && Simd::distance_rows <= kMaxTileRows, "Hit buffers");
    static_assert(2 * Simd::width <= kMaxPanelLanes, "Hit buffers");
    return InstructionSet{
        id,
        name,
        Simd::width,
        {Simd::product_rows, Simd::distance_rows},
        {Simd::small_product_batch, Simd::small_distance_batch},
        Simd::root_error,
        {exact_rows<Simd, InnerProductLanes>, exact_rows<Simd, ComplexDistanceLanes>},
        {{select_tile<Inner1>, select_tile<Inner2>}, {select_tile<Distance1>, select_tile<Distance2>}},
        {{count_tile<Inner1>, count_tile<Inner2>}, {count_tile<Distance1>, count_tile<Distance2>}},
    };
}

}  // namespace mmkg
