#include "table/bounds.h"

#include <cmath>
#include <limits>

#include "mmkg.h"

namespace mmkg {

namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
// Beyond this a norm counts as infinite: the product of two smaller ones is far from overflow.
constexpr double kLargeNorm = 0x1p60;
// More than the roundings of one score, of a bound to float, and of low - slope * norm in float.
constexpr double kSlack = 0x1p-20;
// More than those of a packed score and of its bounds, as a share of |q| |e|.
constexpr double kPackedSlack = 0x1p-18;

double gamma(double n) {
    const double nu = n * 0x1p-24;
    return nu / (1.0 - nu);
}

}  // namespace

Bounds::Bounds(int score, int64_t width, float margin, double root_error) : score_(score), margin_(margin) {
    const double d = static_cast<double>(score == MMKG_INNER_PRODUCT ? width : width / 2);
    relative_ = gamma(2.0 * d + 8.0) + gamma(d / 16.0 + 16.0);
    if (score == MMKG_INNER_PRODUCT) {
        absolute_ = 0x1p-100;  // a sum of bfloat16 products loses what is below 2^-126 at every step
    } else {
        relative_ = (relative_ + root_error) * 1.25;  // products of the errors: each is below 0.14
        absolute_ = d * 0x1p-62;                      // twice sqrt(2^-126) per modulus
    }
    relative_ *= 1.0 + kSlack;
}

float Bounds::norm(float square) const {
    // The square has a relative error below 2^-7 and lost less than 2^-126 to underflow.
    const double norm = std::sqrt(static_cast<double>(square) * 1.01) + 0x1p-62;
    return norm < kLargeNorm ? static_cast<float>(norm * (1.0 + kSlack)) : std::numeric_limits<float>::infinity();
}

float Bounds::slope(float norm) const {
    if (score_ == MMKG_COMPLEX_DISTANCE) return 0.0f;
    if (!(norm < kLargeNorm)) return kNaN;
    return static_cast<float>(norm * relative_ * (1.0 + kSlack));
}

PackedSlopes Bounds::packed_slopes(float norm, double lost, float unit) const {
    if (!(norm < kLargeNorm)) return {kNaN, kNaN, kNaN};
    const double in_units = (1.0 + kPackedSlack) / unit;
    // Numbers rounded to bfloat16 are at most 2^-8 larger, so is each of the two norms in the error of their products.
    const double roundings = norm * (relative_ * 1.01 + kPackedSlack);
    return {static_cast<float>((lost + roundings) * in_units), static_cast<float>((norm + lost) * in_units),
            static_cast<float>(2.0 * absolute_ * in_units)};
}

float Bounds::packed_low(float score, float unit) const {
    const double low = static_cast<double>(this->low(score)) / unit;
    return static_cast<float>(low - std::fabs(low) * kSlack);
}

float Bounds::packed_high(float score, float unit) const {
    const double high = static_cast<double>(this->high(score)) / unit;
    return static_cast<float>(high + std::fabs(high) * kSlack);
}

float Bounds::norm_above(double square) { return static_cast<float>(std::sqrt(square) * (1.0 + kSlack)); }

float Bounds::low(float score) const {
    const double s = score;
    if (std::isnan(s) || s == std::numeric_limits<double>::infinity()) return kNaN;
    if (std::isinf(s)) return score_ == MMKG_INNER_PRODUCT ? score : kNaN;
    if (score_ == MMKG_INNER_PRODUCT) return static_cast<float>(s - std::fabs(s) * kSlack - absolute_);
    const double sum = std::fmax(0.0, margin_ - s + std::fabs(s) * kSlack);
    const double most = sum * (1.0 + relative_) + absolute_;
    return static_cast<float>(-most * (1.0 + kSlack));
}

float Bounds::high(float score) const {
    const double s = score;
    if (!std::isfinite(s)) return kNaN;
    if (score_ == MMKG_INNER_PRODUCT) return static_cast<float>(s + std::fabs(s) * kSlack + absolute_);
    const double sum = margin_ - s - std::fabs(s) * kSlack;
    const double least = sum * (1.0 - relative_) - absolute_;
    // No value is above 0.
    return least > 0.0 ? static_cast<float>(-least * (1.0 - kSlack)) : 0.0f;
}

}  // namespace mmkg
