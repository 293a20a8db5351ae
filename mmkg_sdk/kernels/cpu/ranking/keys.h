// Answers as whole numbers that order them: higher scores first, of equal ones the lower id. Scores are never -0.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <functional>
#include <vector>

namespace mmkg {

inline uint64_t key_of(float score, int64_t id) {
    uint32_t bits;
    std::memcpy(&bits, &score, sizeof bits);
    bits ^= bits >> 31 ? 0xFFFFFFFFu : 0x80000000u;
    return static_cast<uint64_t>(bits) << 32 | (0xFFFFFFFFu - static_cast<uint32_t>(id));
}

inline float score_of(uint64_t key) {
    uint32_t bits = static_cast<uint32_t>(key >> 32);
    bits ^= bits >> 31 ? 0x80000000u : 0xFFFFFFFFu;
    float score;
    std::memcpy(&score, &bits, sizeof score);
    return score;
}

inline int64_t id_of(uint64_t key) { return 0xFFFFFFFFu - static_cast<uint32_t>(key); }

// Writes the k best of some answers, best first; gives how many there are.
inline int64_t write_best(std::vector<uint64_t> &keys, int64_t k, int64_t *ids, float *scores) {
    const auto kept = std::min<int64_t>(k, static_cast<int64_t>(keys.size()));
    if (kept < static_cast<int64_t>(keys.size())) {
        std::nth_element(keys.begin(), keys.begin() + kept, keys.end(), std::greater<>());
    }
    std::sort(keys.begin(), keys.begin() + kept, std::greater<>());
    for (int64_t i = 0; i < kept; ++i) {
        ids[i] = id_of(keys[i]);
        scores[i] = score_of(keys[i]);
    }
    return kept;
}

}  // namespace mmkg
