#include "query/query_context.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <string>
#include <utility>

#include "common/float_mode.h"
#include "common/status.h"
#include "table/scan.h"

using mmkg::kColumnGroup;
using mmkg::kPositions;

namespace {

// Multiply-adds of which a thread should have more: some 10 microseconds, as many as it takes to wake one.
constexpr double kWorthThread = 1 << 18;

}  // namespace

void mmkg_query_context::encode(const Batch &batch, mmkg::Pool::Lease &lease) const {
    std::atomic<bool> finite{true};
    if (batch.size <= block_) {
        const int threads = worth_threads(lease, batch.size);
        // One block, and all threads work on it: few questions cost little more than reading the weights.
        auto scratch = take_scratch();
        mmkg::Stages stages(1 + 7 * static_cast<int64_t>(layers_.size()));
        lease.run(threads, [&](int) {
            const mmkg::FloatMode mode;
            const mmkg::Stages::Way way = threads > 1 ? mmkg::Stages::Way(stages) : mmkg::Stages::Way();
            if (!encode_block({batch, 0, batch.size, *scratch}, way)) finite = false;
        });
        spares_.give_back(std::move(scratch));
    } else {
        const int threads = lease.threads();
        const int64_t rounds = (batch.size + block_ * threads - 1) / (block_ * threads);
        const int64_t share = (batch.size + rounds * threads - 1) / (rounds * threads);
        const int64_t block = std::min(block_, mmkg::rounded_up(share, set.tile_rows));
        const int64_t blocks = (batch.size + block - 1) / block;
        std::atomic<int64_t> next{0};
        lease.run(static_cast<int>(std::min<int64_t>(blocks, threads)), [&](int) {
            const mmkg::FloatMode mode;
            auto scratch = take_scratch();
            for (int64_t i; finite && (i = next++) < blocks;) {
                const int64_t begin = i * block, count = std::min(block, batch.size - begin);
                if (!encode_block({batch, begin, count, *scratch}, {})) finite = false;
            }
            spares_.give_back(std::move(scratch));
        });
    }
    if (!finite) throw mmkg::NotANumber();
}

int mmkg_query_context::worth_threads(const mmkg::Pool::Lease &lease, int64_t questions) const {
    const auto wide = static_cast<double>(width), hidden = static_cast<double>(feedforward_width_);
    const double products = (4 * wide + 2 * hidden) * wide * static_cast<double>(kPositions * layers_.size());
    const double worth = products * static_cast<double>(questions) / kWorthThread;
    return static_cast<int>(std::max(1.0, std::min<double>(worth, lease.threads())));
}

bool mmkg_query_context::encode_block(const Block &block, mmkg::Stages::Way way) const {
    const int64_t count = block.count, groups = columns_ / kColumnGroup;
    float *const projected = block.scratch.projected.data(), *const hidden = block.scratch.hidden.data();
    bool finite = true;
    way.share(count, [&](int64_t question) { gather(block, question); });
    for (const mmkg::QueryLayer &layer : layers_) {
        const bool last = &layer == &layers_.back();
        // What the last layer makes of the known entity nobody reads.
        const int64_t first = last ? 1 : 0, skipped = first * count, rows = kPositions * count - skipped;
        float *const vectors = block.scratch.vectors.data() + skipped * stride_;
        float *const sums = block.scratch.sums.data() + skipped * stride_;
        const auto normalise = [&](int64_t row, const mmkg::Aligned<float> &scale, const mmkg::Aligned<float> &shift,
                                   float *out, const float *addend) {
            float *const sum = sums + row * stride_;
            if (set.normalise({sum, stride_, scale.data(), shift.data(), out, stride_, addend, sum, stride_, 1, width,
                               epsilon_}) >= 0) {
                finite = false;
            }
        };
        way.share(3 * groups, [&](int64_t strip) {
            const int64_t from = strip < groups ? skipped : 0;  // queries, then keys and values
            multiply(layer.projection, strip, block.scratch.vectors.data() + from * stride_, stride_, nullptr,
                     projected + from * projected_stride_, projected_stride_, kPositions * count - from);
        });
        way.share(count, [&](int64_t question) { attend(block, question, first); });
        way.share(groups, [&](int64_t strip) {
            multiply(layer.output, strip, vectors, stride_, sums, sums, stride_, rows);
        });
        way.share(rows, [&](int64_t row) {
            normalise(row, layer.norm1_scale, layer.norm1_shift, vectors + row * stride_,
                      layer.feedforward.bias.data());
        });
        way.share(layer.hidden.columns / kColumnGroup, [&](int64_t strip) {
            multiply(layer.hidden, strip, vectors, stride_, nullptr, hidden, hidden_stride_, rows, true);
        });
        way.share(groups, [&](int64_t strip) {
            multiply(layer.feedforward, strip, hidden, hidden_stride_, sums, sums, stride_, rows);
        });
        way.share(rows, [&](int64_t row) {
            float *out = vectors + row * stride_;
            if (last) {
                float *const to = row < count ? block.batch.relation : block.batch.context;
                out = to + (block.begin + row % count) * width;
            }
            const float *next_bias = last ? nullptr : (&layer + 1)->output.bias.data();
            normalise(row, layer.norm2_scale, layer.norm2_shift, out, next_bias);
        });
    }
    return finite;
}

// The three tokens of a question, and beside each what the first layer's attention is added to.
void mmkg_query_context::gather(const Block &block, int64_t question) const {
    const Batch &batch = block.batch;
    const int64_t at = block.begin + question, direction = batch.directions[at];
    const float *entity = batch.table + batch.entities[at] * width, *known = known_slots_.data() + direction * width;
    const float *relation = relations_.data() + batch.relations[at] * width;
    const float *missing = missing_slots_.data() + direction * width, *bias = layers_[0].output.bias.data();
    const ptrdiff_t step = block.count * stride_;
    float *const vector = block.scratch.vectors.data() + question * stride_;
    float *const sum = block.scratch.sums.data() + question * stride_;
    for (int64_t i = 0; i < width; ++i) {
        vector[i] = entity[i] + known[i];
        vector[step + i] = relation[i];
        vector[2 * step + i] = missing[i];
    }
    for (int64_t position = 0; position < kPositions; ++position) {
        for (int64_t i = 0; i < width; ++i) sum[position * step + i] = vector[position * step + i] + bias[i];
    }
}

// What was attended to takes the place of the vectors, whose projections are done.
void mmkg_query_context::attend(const Block &block, int64_t question, int64_t first_position) const {
    const float *projected = block.scratch.projected.data() + question * projected_stride_;
    const int64_t head_width = width / heads_;
    set.attend_sequence({projected, projected + columns_, projected + 2 * columns_, block.count * projected_stride_,
                         block.scratch.vectors.data() + question * stride_, block.count * stride_, first_position,
                         kPositions, heads_, head_width, 1.0f / std::sqrt(static_cast<float>(head_width))});
}

// One group of columns; without a start, the bias of the matrix is it.
void mmkg_query_context::multiply(const mmkg::PackedMatrix &matrix, int64_t strip, const float *left,
                                  ptrdiff_t left_stride, const float *start, float *out, ptrdiff_t out_stride,
                                  int64_t rows, bool rectify) const {
    const int64_t column = strip * kColumnGroup;
    const float *const panels = matrix.panels.data() + column * matrix.inner;
    set.multiply({left, left_stride, panels, static_cast<ptrdiff_t>(matrix.inner * set.panel),
                  (start ? start : matrix.bias.data()) + column, start ? out_stride : 0, out + column, out_stride, rows,
                  matrix.inner, kColumnGroup, rectify});
}

std::unique_ptr<mmkg::QueryScratch> mmkg_query_context::take_scratch() const {
    auto scratch = spares_.take();
    if (!scratch) {
        const int64_t rows = kPositions * block_;
        scratch = std::make_unique<mmkg::QueryScratch>();
        scratch->vectors = mmkg::Aligned<float>(rows * stride_);
        scratch->sums = mmkg::Aligned<float>(rows * stride_);
        scratch->projected = mmkg::Aligned<float>(rows * projected_stride_);
        scratch->hidden = mmkg::Aligned<float>(rows * hidden_stride_);
    }
    return scratch;
}

void mmkg::require_sizes(const mmkg_query_weights &w) {
    require(w.width >= 1 && w.width <= MMKG_MAX_ENCODER_WIDTH, "weights: width is not from 1 to 2^14");
    require(w.heads >= 1 && w.width % w.heads == 0, "weights: width is no multiple of heads");
    require(w.feedforward_width >= 1 && w.feedforward_width <= MMKG_MAX_FEEDFORWARD_WIDTH,
            "weights: feedforward_width is not from 1 to 2^16");
    require(w.num_relations >= 1 && w.num_relations <= MMKG_MAX_ROWS,
            "weights: num_relations is not from 1 to 2^31 - 1");
    require(w.num_layers >= 1 && w.num_layers <= MMKG_MAX_QUERY_LAYERS, "weights: num_layers is not from 1 to 1024");
    require(w.norm_epsilon >= 0 && std::isfinite(w.norm_epsilon), "weights: norm_epsilon is negative or not finite");
    require(w.layers, "weights: layers is NULL");
}

void mmkg::require_ids(const char *name, const int64_t *ids, int64_t batch, int64_t limit) {
    for (int64_t i = 0; i < batch; ++i) {
        if (static_cast<uint64_t>(ids[i]) < static_cast<uint64_t>(limit)) continue;
        throw BadArgument("question " + std::to_string(i) + ": " + name + " " + std::to_string(ids[i]) +
                                " is not from 0 to " + std::to_string(limit - 1));
    }
}

mmkg_status mmkg_query_context_open(const mmkg_query_weights *weights, int32_t instruction_set, mmkg_pool *pool,
                                    mmkg_query_context **encoder) {
    return mmkg::guarded([&] {
        using mmkg::require;
        require(encoder, "encoder is NULL");
        require(pool, "pool is NULL");
        require(weights, "weights is NULL");
        mmkg::require_sizes(*weights);
        const mmkg::FloatMode mode;
        *encoder = new mmkg_query_context(*weights, mmkg::chosen_encoder_set(instruction_set), pool->pool);
    });
}

void mmkg_query_context_close(mmkg_query_context *encoder) { delete encoder; }

int32_t mmkg_query_context_instruction_set(const mmkg_query_context *encoder) { return encoder ? encoder->set.id : -1; }

mmkg_status mmkg_query_context_encode(const mmkg_query_context *encoder, const float *table, int64_t rows,
                                      int64_t batch, const int64_t *entities, const int64_t *relations,
                                      const int64_t *directions, float *context, float *relation) {
    return mmkg::guarded([&] {
        using mmkg::require;
        require(encoder, "encoder is NULL");
        require(batch >= 0 && batch <= INT32_MAX, "batch is negative or above 2^31 - 1");
        if (batch == 0) return;
        require(table && rows >= 1 && rows <= MMKG_MAX_ROWS, "table is NULL, or rows are not from 1 to 2^31 - 1");
        require(entities && relations && directions, "entities, relations or directions is NULL");
        require(context && relation, "context or relation is NULL");
        mmkg::require_ids("entity", entities, batch, rows);
        mmkg::require_ids("relation", relations, batch, encoder->num_relations);
        mmkg::require_ids("direction", directions, batch, 2);
        mmkg::Pool::Lease lease(encoder->pool());
        encoder->encode({table, batch, entities, relations, directions, context, relation}, lease);
    });
}
