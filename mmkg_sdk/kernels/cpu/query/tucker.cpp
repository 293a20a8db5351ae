#include "query/tucker.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include "common/finite.h"
#include "common/float_mode.h"
#include "common/status.h"
#include "table/scan.h"

namespace mmkg {

namespace {

// The sum over slices of the core is one of so many parts, which threads take; the map of the relation is one more.
constexpr int64_t kParts = 32;
// Rows that go over the core together, a multiple of every tile: a slice is multiplied far longer than it takes to
// read, and they fit the second-level cache beside it at width 256.
constexpr int64_t kRows = 192;
// Multiply-adds of one row, of which a thread should have more: 5 to 30 microseconds.
constexpr double kWorthThread = 1 << 18;

void require_finite_rows(const float *vectors, int64_t batch, int64_t width, const char *name) {
    const int64_t place = first_not_finite(vectors, batch * width, MMKG_FP32);
    if (place == batch * width) return;
    throw BadArgument("row " + std::to_string(place / width) + ": " + name + " holds NaN or infinity");
}

}  // namespace

}  // namespace mmkg

mmkg_tucker::mmkg_tucker(const void *core, int32_t precision, const void *relation_weight, const float *shift,
                         int64_t width_, const mmkg::EncoderSet &set_, mmkg::Pool &pool)
    : set(set_),
      width(width_),
      pool_(pool),
      core_(static_cast<const char *>(core)),
      precision_(precision),
      number_bytes_(precision == MMKG_FP32 ? 4 : 2),
      slice_bytes_(width * width * number_bytes_),
      copied_(std::min(width, 1 + mmkg::rounded_up(mmkg::kColumnGroup, width * width) / (width * width))),
      parts_(std::min(width, mmkg::kParts) + 1),
      // A cache line more than a multiple of the column group: see EncoderScratch.
      stride_(mmkg::rounded_up(width, mmkg::kColumnGroup) + mmkg::kHeadGroup),
      tail_((copied_ + 1) * slice_bytes_ + mmkg::kColumnGroup * number_bytes_),
      shift_(width) {
    mmkg::require_finite(relation_weight, width * width, precision, "relation_weight");
    mmkg::require_finite(shift, width, MMKG_FP32, "shift");
    {
        mmkg::Pool::Lease lease(pool_);
        const int count = threads(lease, 1, width);
        lease.run(count, [&](int part) {
            for (int64_t i = width * part / count; i < width * (part + 1) / count; ++i) {
                const int64_t place = mmkg::first_not_finite(core_ + i * slice_bytes_, width * width, precision_);
                if (place == width * width) continue;
                throw mmkg::BadArgument("core holds NaN or infinity at " + std::to_string(i * width * width + place));
            }
        });
    }
    std::memset(tail_.data(), 0, static_cast<size_t>(tail_.size()));
    std::memcpy(tail_.data(), core_ + (width - copied_) * slice_bytes_, static_cast<size_t>(copied_ * slice_bytes_));
    std::memcpy(tail_.data() + copied_ * slice_bytes_, relation_weight, static_cast<size_t>(slice_bytes_));
    std::memcpy(shift_.data(), shift, static_cast<size_t>(width) * sizeof(float));
}

// Slice `width` is the map of the relation.
const char *mmkg_tucker::slice(int64_t index) const {
    const int64_t left = width - copied_;
    return index < left ? core_ + index * slice_bytes_ : tail_.data() + (index - left) * slice_bytes_;
}

int mmkg_tucker::threads(const mmkg::Pool::Lease &lease, int64_t rows, int64_t most) const {
    const double worth = static_cast<double>(width * width) * static_cast<double>(width * rows) / mmkg::kWorthThread;
    return static_cast<int>(std::max(1.0, std::min<double>(worth, std::min<double>(lease.threads(), most))));
}

void mmkg_tucker::apply(const float *context, const float *relation, int64_t batch, float *out,
                        mmkg::Pool::Lease &lease) const {
    mmkg::require_finite_rows(context, batch, width, "context");
    mmkg::require_finite_rows(relation, batch, width, "relation");
    const int64_t rounds = (batch + mmkg::kRows - 1) / mmkg::kRows;
    const int64_t together = mmkg::rounded_up((batch + rounds - 1) / rounds, set.tile_rows);
    const int64_t strip = width * mmkg::kColumnGroup;
    auto scratch = spares_.take();
    if (!scratch) scratch = std::make_unique<mmkg::TuckerScratch>();
    hold(scratch->sums, parts_ * std::min(together, batch) * stride_);
    hold(scratch->strips, lease.threads() * strip);
    for (int64_t first = 0; first < batch; first += together) {
        const int64_t count = std::min(together, batch - first), offset = first * width;
        const Rows rows{context + offset, relation + offset, count, scratch->sums.data()};
        const int workers = threads(lease, count, parts_);
        lease.run(workers, [&](int worker) {
            const mmkg::FloatMode mode;
            for (int64_t part = parts_ * worker / workers; part < parts_ * (worker + 1) / workers; ++part) {
                add_part(rows, part, scratch->strips.data() + worker * strip);
            }
        });
        // Waking threads pays for more rows than a few.
        const int adders = count < 4 * workers ? 1 : workers;
        lease.run(adders, [&](int adder) {
            const mmkg::FloatMode mode;
            sum_parts(rows, count * adder / adders, count * (adder + 1) / adders, out + offset);
        });
    }
    spares_.give_back(std::move(scratch));
}

void mmkg_tucker::add_part(const Rows &rows, int64_t part, float *strip) const {
    const int64_t parts = parts_ - 1;
    std::memset(rows.sums + part * rows.count * stride_, 0, static_cast<size_t>(rows.count * stride_) * sizeof(float));
    const int64_t begin = part == parts ? width : width * part / parts;
    const int64_t end = part == parts ? width + 1 : width * (part + 1) / parts;
    for (int64_t index = begin; index < end; ++index) add_slice(rows, part, index, strip);
}

void mmkg_tucker::add_slice(const Rows &rows, int64_t part, int64_t index, float *strip) const {
    static constexpr float one = 1.0f;
    const bool map = index == width;
    const auto wide = static_cast<ptrdiff_t>(width);
    set.add_slice[precision_]({map ? rows.relation : rows.context, wide, map ? &one : rows.relation + index,
                               map ? 0 : wide, slice(index), slice(std::min(index + 1, width)),
                               rows.sums + part * rows.count * stride_, stride_, strip, rows.count, width});
}

void mmkg_tucker::sum_parts(const Rows &rows, int64_t first, int64_t end, float *out) const {
    for (int64_t row = first; row < end; ++row) {
        float *const to = out + row * width;
        std::memcpy(to, shift_.data(), static_cast<size_t>(width) * sizeof(float));
        for (int64_t part = 0; part < parts_; ++part) {
            const float *const from = rows.sums + (part * rows.count + row) * stride_;
            for (int64_t o = 0; o < width; ++o) to[o] += from[o];
        }
        if (mmkg::first_not_finite(to, width, MMKG_FP32) < width) throw mmkg::NotANumber();
    }
}

mmkg_status mmkg_tucker_open(const void *core, int32_t precision, const void *relation_weight, const float *shift,
                             int64_t width, int32_t instruction_set, mmkg_pool *pool, mmkg_tucker **tucker) {
    return mmkg::guarded([&] {
        using mmkg::require;
        require(tucker, "tucker is NULL");
        require(pool, "pool is NULL");
        require(core && relation_weight && shift, "core, relation_weight or shift is NULL");
        require(precision >= MMKG_FP32 && precision <= MMKG_FP16, "precision is none of mmkg_precision");
        require(width >= 1 && width <= MMKG_MAX_TUCKER_WIDTH, "width is not from 1 to 2^14");
        *tucker = new mmkg_tucker(core, precision, relation_weight, shift, width,
                                  mmkg::chosen_encoder_set(instruction_set), pool->pool);
    });
}

void mmkg_tucker_close(mmkg_tucker *tucker) { delete tucker; }

int32_t mmkg_tucker_instruction_set(const mmkg_tucker *tucker) { return tucker ? tucker->set.id : -1; }

mmkg_status mmkg_tucker_apply(const mmkg_tucker *tucker, const float *context, const float *relation, int64_t batch,
                              float *out) {
    return mmkg::guarded([&] {
        using mmkg::require;
        require(tucker, "tucker is NULL");
        require(batch >= 0 && batch <= INT32_MAX, "batch is negative or above 2^31 - 1");
        require((context && relation && out) || batch == 0, "context, relation or out is NULL");
        if (!batch) return;
        mmkg::Pool::Lease lease(tucker->pool());
        tucker->apply(context, relation, batch, out, lease);
    });
}
