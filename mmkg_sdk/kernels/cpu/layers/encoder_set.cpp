// Which instruction set an encoder runs on.
#include "layers/encoder_set.h"

#include "common/choose_set.h"

namespace mmkg {

namespace {

const EncoderSet *encoder_set(int32_t id) {
    switch (id) {
    case MMKG_AVX2:
    case MMKG_AVX2_VNNI:
        return avx2_encoder_set();
    case MMKG_AVX512:
    case MMKG_AVX512_VNNI:
    case MMKG_AVX512_BF16:
        return avx512_encoder_set();
    case MMKG_NEON:
    case MMKG_NEON_DOT:
    case MMKG_NEON_BF16:
    case MMKG_NEON_I8MM:
        return neon_encoder_set();
    default:
        return &portable_encoder_set();
    }
}

}  // namespace

const EncoderSet &chosen_encoder_set(int32_t id) { return chosen_set(id, encoder_set); }

}  // namespace mmkg
