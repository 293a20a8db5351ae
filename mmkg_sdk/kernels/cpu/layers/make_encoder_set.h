// Puts the encoder templates of one Simd into a table of functions.
#pragma once

#include "layers/attention.h"
#include "layers/gemm.h"
#include "layers/layer_norm.h"
#include "layers/sequence_attention.h"
#include "layers/slice.h"

namespace mmkg {

template <class Simd>
EncoderSet make_encoder_set(int32_t id) {
    static_assert(kColumnGroup % Simd::panel == 0 && kHeadGroup % Simd::width == 0, "padding");
    return EncoderSet{id,
                      Simd::panel,
                      Simd::tile_rows,
                      multiply<Simd>,
                      normalise<Simd>,
                      attention_weights<Simd>,
                      {weigh<Simd, float>, weigh<Simd, uint16_t>},
                      attend_sequence<Simd>,
                      {add_slice<Simd, float>, add_slice<Simd, uint16_t>, add_slice<Simd, Half>}};
}

}  // namespace mmkg
