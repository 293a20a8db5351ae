// Powers of two and hyperbolic tangents.
#pragma once

namespace mmkg {

// 2^x for x <= 126, to 2.2e-7 of itself; below -125 it is 2^-125. NaN stays NaN. The polynomial is the one of degree 5
// with the smallest relative error (7.5e-8) on [-1/2, 1/2].
template <class Simd>
[[gnu::always_inline]] inline typename Simd::Float exp2_of(typename Simd::Float x) {
    // Adding 1.5 * 2^23 rounds to a whole number and leaves it in the lowest bits.
    const auto shift = Simd::set(12582912.0f);
    x = Simd::max(Simd::set(-125.0f), x);
    const auto shifted = Simd::add(x, shift);
    const auto rest = Simd::sub(x, Simd::sub(shifted, shift));
    constexpr float coefficients[] = {9.675540961325169e-3f, 5.550713092088699e-2f, 2.4022120237350464e-1f,
                                      6.931469440460205e-1f, 1.0000001192092896f};
    auto sum = Simd::set(1.3276472454890609e-3f);
#pragma GCC unroll 8
    for (const float coefficient : coefficients) sum = Simd::fma(sum, rest, Simd::set(coefficient));
    return Simd::times_power_of_two(sum, shifted);
}

// tanh(x), to 3e-7 of itself. The polynomial near 0: tanhf of the Cephes library (S. Moshier).
template <class Simd>
[[gnu::always_inline]] inline typename Simd::Float tanh_of(typename Simd::Float x) {
    const auto square = Simd::mul(x, x);
    constexpr float coefficients[] = {2.06390887954e-2f, -5.37397155531e-2f, 1.33314422036e-1f, -3.33332819422e-1f};
    auto sum = Simd::set(-5.70498872745e-3f);
#pragma GCC unroll 8
    for (const float coefficient : coefficients) sum = Simd::fma(sum, square, Simd::set(coefficient));
    const auto near = Simd::fma(Simd::mul(sum, square), x, x);
    // 1 - 2 / (e^2x + 1); at 10 it is 1.
    const auto cut = Simd::min(Simd::set(10.0f), Simd::max(Simd::set(-10.0f), x));
    const auto power = exp2_of<Simd>(Simd::mul(cut, Simd::set(2.8853900817779268f)));
    const auto far = Simd::sub(Simd::set(1.0f), Simd::div(Simd::set(2.0f), Simd::add(power, Simd::set(1.0f))));
    return Simd::where_less(square, Simd::set(0.390625f), near, far);
}

}  // namespace mmkg
