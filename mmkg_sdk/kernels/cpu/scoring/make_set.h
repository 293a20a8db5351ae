// Puts the templates of one instruction set into a table of functions.
#pragma once

#include "scoring/canonical.h"
#include "scoring/tiles.h"

namespace mmkg {

template <class Kernel>
constexpr PanelKernel panel_kernel() {
    static_assert(Kernel::Rows <= kMaxTileRows && Kernel::lanes <= kMaxPanelLanes, "more hits than a buffer holds");
    return {Kernel::lanes, select_tile<Kernel>, count_tile<Kernel>};
}

// Narrow: the vectors of the smallest panels; may be those of the others.
template <class Simd, class Narrow>
InstructionSet make_set(int32_t id, const char *name) {
    static_assert(Simd::root_error == Narrow::root_error, "one bound for all panels");
    constexpr int product_rows = Simd::product_rows, distance_rows = Simd::distance_rows;
    return InstructionSet{
        id,
        name,
        {product_rows, distance_rows},
        {Simd::small_product_batch, Simd::small_distance_batch},
        Simd::root_error,
        {exact_rows<Simd, InnerProductLanes>, exact_rows<Simd, ComplexDistanceLanes>},
        {exact_pairs<Simd, InnerProductLanes>, exact_pairs<Simd, ComplexDistanceLanes>},
        {exact_chosen<Simd, InnerProductLanes>, exact_chosen<Simd, ComplexDistanceLanes>},
        {{panel_kernel<InnerProductTile<Narrow, product_rows, 1>>(),
          panel_kernel<InnerProductTile<Simd, product_rows, 1>>(),
          panel_kernel<InnerProductTile<Simd, product_rows, 2>>()},
         {panel_kernel<ComplexDistanceTile<Narrow, distance_rows, 1>>(),
          panel_kernel<ComplexDistanceTile<Simd, distance_rows, 1>>(),
          panel_kernel<ComplexDistanceTile<Simd, distance_rows, 2>>()}},
        {},
    };
}

}  // namespace mmkg
