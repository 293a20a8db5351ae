// mmkg_gpu_query_context_...: the query transformer's weights on the GPU, and launches of triton/query_context.py.
#include "query/query_context.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "cuda/launch/encoder/ids.h"
#include "cuda/launch/encoder/layer.h"
#include "cuda/launch/encoder/tucker.h"
#include "cuda/launch/encoder/weights.h"
#include "mmkg_cuda_encoder.h"

using mmkg::kPositions;
using mmkg::require;
using namespace mmkg::cuda;

namespace {

struct Layer {
    Address projection_weight, projection_bias, output_weight, output_bias, norm1_weight, norm1_bias, hidden_weight,
        hidden_bias, feedforward_weight, feedforward_bias, norm2_weight, norm2_bias;
};

struct Batch {
    Address table;
    int64_t rows, stride, size;
    Ids ids;
    Address context, relation;
};

// What lies in the workspace, of some questions: planes by token.
struct Planes {
    Address x, y, attended, sum, projected, hidden;
};

}  // namespace

struct mmkg_gpu_query_context {
    mmkg_gpu_query_context(mmkg_gpu &gpu, const mmkg_query_weights &weights);

    void encode(const Batch &batch, Stream stream) const;

    // context and relation of the batch are found here.
    void vectors(const mmkg_gpu_tucker *tucker, Batch batch, int32_t place, Address out, Stream stream) const;

    int64_t width() const { return widths_.width; }
    int64_t columns() const { return widths_.padded; }

    mmkg_gpu &gpu;

private:
    void encode_block(const Batch &batch, int64_t first, int64_t count, Planes planes, int64_t suited,
                      Stream stream) const;
    void linear(const Kernel &tiles, Address input, int64_t inner, Address weight, Address bias, int64_t columns,
                Address out, int64_t rows, Stream stream) const;
    void add_norm(Address x, Address y, Address weight, Address bias, Address out, int64_t out_columns, int64_t rows,
                  Stream stream) const;

    const LayerWidths widths_;
    const int64_t num_relations_;
    const float epsilon_, scale_;
    const Kernel &sequence_, &attention_, &add_norm_;
    const ByRows linear_, linear_relu_;
    Address known_slots_, missing_slots_, relations_;
    std::vector<Layer> layers_;
    std::unique_ptr<DeviceMemory> memory_;
};

mmkg_gpu_query_context::mmkg_gpu_query_context(mmkg_gpu &gpu_, const mmkg_query_weights &w)
    : gpu(gpu_),
      widths_(w.width, w.heads, w.feedforward_width),
      num_relations_(w.num_relations),
      epsilon_(w.norm_epsilon),
      scale_(static_cast<float>(1 / std::sqrt(static_cast<double>(w.width / w.heads)))),
      sequence_(gpu.kernel(widths_.named("query_sequence"))),
      attention_(gpu.kernel(widths_.named("query_attention"))),
      add_norm_(gpu.kernel(widths_.named("add_norm"))),
      linear_(gpu, "linear"),
      linear_relu_(gpu, "linear_relu"),
      layers_(static_cast<size_t>(w.num_layers)) {
    const Axis columns = widths_.columns(), groups = widths_.groups(), hidden = widths_.hidden();
    const Axis one = Axis::whole(1, 1), two = Axis::whole(2, 2);
    Weights weights;
    weights.add(known_slots_, w.known_slots, two, columns, "known_slots");
    weights.add(missing_slots_, w.missing_slots, two, columns, "missing_slots");
    weights.add(relations_, w.relations, Axis::whole(num_relations_, num_relations_), columns, "relations");
    for (int64_t i = 0; i < w.num_layers; ++i) {
        const mmkg_query_layer &from = w.layers[i];
        Layer &to = layers_[static_cast<size_t>(i)];
        const auto name = [&](const char *what) { return "layer " + std::to_string(i) + " " + what; };
        weights.add_side_by_side(to.projection_weight, {from.query_weight, from.key_weight, from.value_weight}, columns,
                                 groups, name("query_weight, key_weight or value_weight").c_str());
        weights.add_side_by_side(to.projection_bias, {from.query_bias, from.key_bias, from.value_bias}, one, groups,
                                 name("query_bias, key_bias or value_bias").c_str());
        weights.add(to.output_weight, from.output_weight, groups, columns, name("output_weight").c_str());
        weights.add(to.output_bias, from.output_bias, columns, name("output_bias").c_str());
        weights.add(to.norm1_weight, from.norm1_weight, columns, name("norm1_weight").c_str());
        weights.add(to.norm1_bias, from.norm1_bias, columns, name("norm1_bias").c_str());
        weights.add(to.hidden_weight, from.hidden_weight, columns, hidden, name("hidden_weight").c_str());
        weights.add(to.hidden_bias, from.hidden_bias, hidden, name("hidden_bias").c_str());
        weights.add(to.feedforward_weight, from.feedforward_weight, hidden, columns,
                    name("feedforward_weight").c_str());
        weights.add(to.feedforward_bias, from.feedforward_bias, columns, name("feedforward_bias").c_str());
        weights.add(to.norm2_weight, from.norm2_weight, columns, name("norm2_weight").c_str());
        weights.add(to.norm2_bias, from.norm2_bias, columns, name("norm2_bias").c_str());
    }
    memory_ = weights.upload(gpu);
}

void mmkg_gpu_query_context::encode(const Batch &batch, Stream stream) const {
    // x, y, attended and sum have the columns of a vector, projected three times so many.
    const int64_t vector_bytes = kPositions * widths_.padded * kFloatBytes;
    const int64_t question_bytes = 7 * vector_bytes + kPositions * widths_.padded_hidden * kFloatBytes;
    const int64_t most = rows_together(gpu, question_bytes, 64), together = std::min(batch.size, most);
    const int64_t suited = std::min(mmkg_gpu_padded_batch(batch.size), most);
    Workspace workspace(gpu, Workspace::rounded(together * question_bytes), stream);
    const Address start = workspace.take(together * question_bytes);
    for (int64_t first = 0; first < batch.size; first += together) {
        const int64_t count = std::min(together, batch.size - first);
        const Address size = static_cast<Address>(count * vector_bytes);
        encode_block(batch, first, count,
                     {start, start + size, start + 2 * size, start + 3 * size, start + 4 * size, start + 7 * size},
                     suited, stream);
    }
}

void mmkg_gpu_query_context::vectors(const mmkg_gpu_tucker *tucker, Batch batch, int32_t place, Address out,
                                     Stream stream) const {
    const int64_t id_bytes = bytes_of_ids(batch.size);
    const int64_t vector_bytes = Workspace::rounded(batch.size * widths_.width * kFloatBytes);
    Workspace workspace(gpu, id_bytes + 2 * vector_bytes, stream);
    const Address ids = workspace.take(id_bytes);
    if (place == MMKG_ON_HOST)
        batch.ids = copied_ids(gpu, batch.ids, batch.size, {batch.rows, num_relations_}, ids, stream);
    batch.relation = workspace.take(vector_bytes);
    batch.context = workspace.take(vector_bytes);
    if (!tucker) batch.context = out;
    encode(batch, stream);
    if (tucker) tucker->apply(batch.context, batch.relation, batch.size, out, stream);
}

// `suited`: the number of questions that kernels are chosen for.
void mmkg_gpu_query_context::encode_block(const Batch &batch, int64_t first, int64_t count, Planes planes,
                                          int64_t suited, Stream stream) const {
    const auto tiles = [&](const ByRows &kernel, int64_t planes_of_rows, int64_t columns) -> const Kernel & {
        return kernel.of(planes_of_rows * suited, columns / kernel.many.constant("COLUMNS"));
    };
    const auto at = [&](Address start, int64_t bytes) { return start + static_cast<Address>(first * bytes); };
    const int64_t padded = widths_.padded;
    sequence_.launch({count},
                     Arguments()
                         .address(batch.table)
                         .address(relations_)
                         .address(known_slots_)
                         .address(missing_slots_)
                         .address(at(batch.ids.entities, 8))
                         .address(at(batch.ids.relations, 8))
                         .address(at(batch.ids.directions, 8))
                         .address(planes.x)
                         .integer(batch.rows)
                         .integer(num_relations_)
                         .integer(count)
                         .integer(batch.stride),
                     stream);
    const Address plane = static_cast<Address>(count * padded * kFloatBytes);
    for (const Layer &layer : layers_) {
        const bool last = &layer == &layers_.back();
        linear(tiles(linear_, kPositions, 3 * padded), planes.x, padded, layer.projection_weight,
               layer.projection_bias, 3 * padded, planes.projected, kPositions * count, stream);
        attention_.launch({ceil_div(count, attention_.constant("QUERIES"))},
                          Arguments()
                              .address(planes.projected)
                              .address(planes.attended)
                              .integer(count)
                              .integer(widths_.groups_per_head)
                              .number(scale_),
                          stream);
        // Behind the last attention only the relation and the missing entity are read.
        const Address skipped = last ? plane : 0;
        const int64_t positions = last ? kPositions - 1 : kPositions, rows = positions * count;
        const Kernel &to_vector = tiles(linear_, positions, padded);
        linear(to_vector, planes.attended + skipped, padded, layer.output_weight, layer.output_bias, padded, planes.sum,
               rows, stream);
        add_norm(planes.x + skipped, planes.sum, layer.norm1_weight, layer.norm1_bias, planes.y, padded, rows, stream);
        linear(tiles(linear_relu_, positions, widths_.padded_hidden), planes.y, padded, layer.hidden_weight,
               layer.hidden_bias, widths_.padded_hidden, planes.hidden, rows, stream);
        linear(to_vector, planes.hidden, widths_.padded_hidden, layer.feedforward_weight, layer.feedforward_bias,
               padded, planes.sum, rows, stream);
        if (!last) {
            add_norm(planes.y, planes.sum, layer.norm2_weight, layer.norm2_bias, planes.x, padded, rows, stream);
            continue;
        }
        const Address outs[] = {batch.relation, batch.context};
        for (int i = 0; i < 2; ++i) {
            const Address offset = static_cast<Address>(i) * plane;
            add_norm(planes.y + offset, planes.sum + offset, layer.norm2_weight, layer.norm2_bias,
                     at(outs[i], widths_.width * kFloatBytes), widths_.width, count, stream);
        }
    }
}

void mmkg_gpu_query_context::linear(const Kernel &tiles, Address input, int64_t inner, Address weight, Address bias,
                                    int64_t columns, Address out, int64_t rows, Stream stream) const {
    tiles.launch({ceil_div(rows, tiles.constant("ROWS")), columns / tiles.constant("COLUMNS")},
                 Arguments()
                     .address(input)
                     .address(weight)
                     .address(bias)
                     .address(out)
                     .integer(rows)
                     .integer(inner / tiles.constant("DEPTH")),
                 stream);
}

void mmkg_gpu_query_context::add_norm(Address x, Address y, Address weight, Address bias, Address out,
                                      int64_t out_columns, int64_t rows, Stream stream) const {
    add_norm_.launch({ceil_div(rows, add_norm_.constant("ROWS"))},
                     Arguments()
                         .address(x)
                         .address(y)
                         .address(weight)
                         .address(bias)
                         .address(out)
                         .integer(rows)
                         .integer(widths_.width)
                         .integer(out_columns)
                         .number(epsilon_),
                     stream);
}

int64_t mmkg_gpu_padded_batch(int64_t batch) {
    for (const int64_t size : {1, 16, 64, 256})
        if (batch <= size) return size;
    return batch;
}

mmkg_status mmkg_gpu_query_context_open(mmkg_gpu *gpu, const mmkg_query_weights *weights,
                                        mmkg_gpu_query_context **encoder) {
    return on_gpu(gpu, [&] {
        require(encoder, "encoder is NULL");
        require(weights, "weights is NULL");
        mmkg::require_sizes(*weights);
        *encoder = new mmkg_gpu_query_context(*gpu, *weights);
    });
}

void mmkg_gpu_query_context_close(mmkg_gpu_query_context *encoder) { delete encoder; }

mmkg_status mmkg_gpu_query_context_encode(const mmkg_gpu_query_context *encoder, uint64_t table, int64_t rows,
                                          int64_t batch, uint64_t entities, uint64_t relations, uint64_t directions,
                                          uint64_t context, uint64_t relation, uint64_t stream) {
    return on_gpu_of(encoder, "encoder is NULL", [&] {
        const Batch all{table, rows, encoder->width(), batch, {entities, relations, directions}, context,
                        relation};
        require_questions(all.ids, batch, table, rows);
        require((context && relation) || batch == 0, "context or relation is NULL");
        if (batch) encoder->encode(all, stream_of(stream));
    });
}

mmkg_status mmkg_gpu_query_vectors(const mmkg_gpu_query_context *encoder, const mmkg_gpu_tucker *tucker, uint64_t table,
                                   int64_t rows, int64_t stride, int64_t batch, uint64_t entities, uint64_t relations,
                                   uint64_t directions, int32_t place, uint64_t vectors, uint64_t stream) {
    return on_gpu_of(encoder, "encoder is NULL", [&] {
        const Batch all{table, rows, stride, batch, {entities, relations, directions}, 0, 0};
        require_questions(all.ids, batch, table, rows);
        require(stride >= encoder->width() && stride <= encoder->columns(),
                "stride is not from the width to the columns of a vector on the GPU");
        require_place(place);
        require(vectors || batch == 0, "vectors is NULL");
        require(!tucker || (&tucker->gpu == &encoder->gpu && tucker->width == encoder->width()),
                "tucker is of another GPU or width");
        if (batch) encoder->vectors(tucker, all, place, vectors, stream_of(stream));
    });
}
