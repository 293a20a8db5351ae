// Which instruction set an encoder runs on.
#include "layers/encoder_set.h"

#include "common/choose_set.h"

namespace mmkg {

namespace {

const EncoderSet *encoder_set(int32_t id) {
    if (id == MMKG_PORTABLE) return &portable_encoder_set();
    const bool narrow = id == MMKG_AVX2 || id == MMKG_AVX2_VNNI;
    return narrow ? avx2_encoder_set() : avx512_encoder_set();
}

}  // namespace

const EncoderSet &chosen_encoder_set(int32_t id) { return chosen_set(id, encoder_set); }

}  // namespace mmkg
