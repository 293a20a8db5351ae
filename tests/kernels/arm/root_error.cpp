// The largest relative error of Neon::minus_root: of all numbers in [1, 4), whose roots those of the others are but for
// a power of two.
#include <cmath>
#include <cstdio>
#include <cstring>

#include "simd/neon.h"

int main() {
    double most = 0.0;
    for (uint32_t bits = 0x3F800000u; bits < 0x40800000u; bits += mmkg::Neon::width) {
        float squares[mmkg::Neon::width], roots[mmkg::Neon::width];
        for (uint32_t lane = 0; lane < mmkg::Neon::width; ++lane) {
            const uint32_t one = bits + lane;
            std::memcpy(squares + lane, &one, sizeof one);
        }
        mmkg::Neon::store(roots, mmkg::Neon::minus_root(mmkg::Neon::zero(), mmkg::Neon::load(squares)));
        for (int lane = 0; lane < mmkg::Neon::width; ++lane) {
            const double right = std::sqrt(static_cast<double>(squares[lane]));
            most = std::fmax(most, std::fabs(right + static_cast<double>(roots[lane])) / right);
        }
    }
    std::printf("%.3g %.3g\n", most, mmkg::Neon::root_error);
    return most < mmkg::Neon::root_error ? 0 : 1;
}
