// Which instruction set an encoder runs on.
#include "encoder_set.h"

#include <cstdlib>
#include <cstring>

#include "status.h"

namespace mmkg {

namespace {

const EncoderSet *encoder_set(int32_t id) {
    if (!mmkg_has_instruction_set(id)) return nullptr;
    if (id == MMKG_PORTABLE) return &portable_encoder_set();
    if (id == MMKG_AVX2) return avx2_encoder_set();
    if (id == MMKG_AVX512 || id == MMKG_AVX512_BF16) return avx512_encoder_set();
    return nullptr;
}

}  // namespace

const EncoderSet &chosen_encoder_set(int32_t id) {
    if (id != MMKG_BEST) {
        const EncoderSet *set = encoder_set(id);
        require(set, "instruction_set is none of this build and processor");
        return *set;
    }
    const char *wanted = std::getenv("MMKG_INSTRUCTION_SET");
    for (int32_t best = MMKG_AVX512_BF16; best >= MMKG_PORTABLE; --best) {
        const EncoderSet *set = encoder_set(best);
        if (set && (!wanted || !*wanted || std::strcmp(wanted, mmkg_instruction_set_name(best)) == 0)) return *set;
    }
    throw BadArgument("MMKG_INSTRUCTION_SET names none of this processor's: portable, avx2, avx512 or avx512_bf16");
}

}  // namespace mmkg
