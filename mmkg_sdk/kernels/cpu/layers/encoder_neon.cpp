// Encoders on ARM64.
#include "layers/encoder_set.h"

#if defined(__aarch64__)

#include "layers/make_encoder_set.h"
#include "mmkg.h"
#include "simd/neon.h"

namespace mmkg {
namespace {

struct EncoderNeon : Neon {
    // 24 of 32 registers hold sums.
    static constexpr int panel = 16, tile_rows = 6, value_vectors = 8;

    static Float load_value(const float *from) { return load(from); }
    static Float load_value(const uint16_t *from) {
        const uint16x8_t half = vld1q_u16(from);
        return {vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(half), 16)),
                vreinterpretq_f32_u32(vshll_high_n_u16(half, 16))};
    }
    static Float load_value(const Half *from) {
        const float16x8_t half = vreinterpretq_f16_u16(vld1q_u16(&from->bits));
        return {vcvt_f32_f16(vget_low_f16(half)), vcvt_high_f32_f16(half)};
    }
    static Float load_first(const float *from, int count) { return load_some<false>(from, count); }
    static void store_first(float *to, int count, Float value) {
        float some[width];
        store(some, value);
        for (int i = 0; i < width && i < count; ++i) to[i] = some[i];
    }
    static Float keep_first(Float value, int count) {
        static const int32_t lane[8] = {0, 1, 2, 3, 4, 5, 6, 7};
        const int32x4_t end = vdupq_n_s32(count);
        return where({vcltq_s32(vld1q_s32(lane), end), vcltq_s32(vld1q_s32(lane + 4), end)}, value, zero());
    }
    static Float zero_where_less(Float value, Float a, Float b) { return where(less(a, b), zero(), value); }
};

}  // namespace

const EncoderSet *neon_encoder_set() {
    static const EncoderSet set = make_encoder_set<EncoderNeon>(MMKG_NEON);
    return &set;
}

}  // namespace mmkg

#else

namespace mmkg {
const EncoderSet *neon_encoder_set() { return nullptr; }
}  // namespace mmkg

#endif
