// Puts the interaction's templates of one instruction set into a table of functions. Eight: vectors of eight numbers;
// Wide: of as many as there are.
#pragma once

#include "link/dual_scores.h"
#include "link/late_attention.h"
#include "link/rows.h"

namespace mmkg {

template <class Wide, class Eight>
InteractionSet make_interaction_set(int32_t id) {
    return InteractionSet{id,
                          to_float<Eight>,
                          {{pack<Eight, float, false>, pack<Eight, uint16_t, false>},
                           {pack<Eight, float, true>, pack<Eight, uint16_t, true>}},
                          {attend<Wide, Eight, FloatLogits<Wide>>, attend<Wide, Eight, IntLogits<Wide>>},
                          inner_products<Eight>,
                          row_products<Eight>,
                          {dual<Eight, false>, dual<Eight, true>}};
}

}  // namespace mmkg
