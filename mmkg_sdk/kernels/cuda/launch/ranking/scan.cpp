#include "cuda/launch/ranking/scan.h"

#include <algorithm>
#include <cmath>
#include <string>

namespace mmkg::cuda {

namespace {

// Queries that a block of a first pass holds, by shape.
constexpr std::array<int64_t, 3> kShapes = {16, 64, 128};

// Width of the copy in bfloat16: one that there are kernels for, or a multiple of 64.
int64_t padded_width(int64_t width) {
    for (const int64_t compiled : {64, 128, 256})
        if (width <= compiled) return compiled;
    return divided(width, 64) * 64;
}

}  // namespace

FirstPass::FirstPass(mmkg_gpu &gpu, const char *name, int64_t padded) {
    for (size_t i = 0; i < kShapes.size(); ++i) {
        const std::string queries = "_q" + std::to_string(kShapes[i]);
        const Kernel *const narrow = gpu.kernel_or_null(name + ("_d" + std::to_string(padded)) + queries);
        const bool wide = narrow == nullptr;
        const Kernel *const kernel = wide ? &gpu.kernel(std::string(name) + "_wide" + queries) : narrow;
        shapes[i] = {kernel, kernel->constant("QUERIES"), wide};
    }
}

const FirstPass::Shape &FirstPass::shape(int64_t batch) const {
    for (const Shape &shape : shapes)
        if (batch <= shape.queries) return shape;
    return shapes.back();
}

Parts::Parts(const mmkg_gpu &gpu, const Kernel &kernel, int64_t batch, int64_t queries, int64_t tiles)
    : query_tiles(divided(batch, queries)) {
    const int64_t blocks = gpu.facts.multiprocessors * kernel.resident_blocks();
    const int64_t wanted = std::clamp<int64_t>(divided(blocks, query_tiles), 1, tiles);
    tiles_each = divided(tiles, wanted);
    count = wanted;
}

}  // namespace mmkg::cuda

using mmkg::require;
using mmkg::cuda::Arguments;
using mmkg::cuda::check;
using mmkg::cuda::divided;

mmkg_gpu_scan::mmkg_gpu_scan(mmkg_gpu &gpu_, const float *table, int64_t rows_, int64_t width_, mmkg_score score,
                             float margin_)
    : gpu(gpu_),
      distance(score == MMKG_COMPLEX_DISTANCE),
      margin(margin_),
      rows(rows_),
      width(width_),
      chunks(divided(width, mmkg::cuda::kChunk)),
      row_numbers(distance ? width : chunks * mmkg::cuda::kChunk),
      padded(mmkg::cuda::padded_width(width)),
      tiles(divided(rows, mmkg::cuda::kTileRows)),
      table32(gpu, rows * row_numbers * 4),
      table16(gpu, distance ? 0 : tiles * mmkg::cuda::kTileRows * padded * 2),
      bins(first_pass("scan_bins")),
      ranks(first_pass("scan_ranks")),
      round_queries(gpu.kernel("round_queries")),
      group_maxima(gpu.kernel("group_maxima")),
      select_best(gpu.kernel("select_best")),
      select_grouped(gpu.kernel("select_grouped")),
      settle_rows(gpu.kernel(distance ? "distance_settle" : "settle_rows")),
      finish_top_k{&gpu.kernel("finish_top_16"), &gpu.kernel("finish_top_128"), &gpu.kernel("finish_top_1024")},
      exact_bins(gpu.kernel(distance ? "distance_bins" : "exact_bins")),
      exact_counts(gpu.kernel(distance ? "distance_counts" : "exact_counts")),
      pair_scores(gpu.kernel(distance ? "distance_pairs" : "pair_scores")),
      list_marked(gpu.kernel("list_marked")),
      settle_marked(gpu.kernel("settle_marked")),
      finish_ranks(gpu.kernel("finish_ranks")),
      distance_known(gpu.kernel("distance_known")),
      exact_queries(exact_bins.constant("QUERIES")) {
    if (rows == 0) return;
    fill(table);
    if (!distance) round();
}

std::optional<mmkg::cuda::FirstPass> mmkg_gpu_scan::first_pass(const char *name) const {
    if (distance) return std::nullopt;
    return mmkg::cuda::FirstPass(gpu, name, padded);
}

mmkg::cuda::Arguments &mmkg_gpu_scan::add_score(mmkg::cuda::Arguments &arguments) const {
    if (distance) return arguments.integer(width / 2).number(margin);
    return arguments.integer(chunks);
}

void mmkg_gpu_scan::fill(const float *table) {
    const mmkg::cuda::Stream stream = nullptr;
    const int64_t row_bytes = row_numbers * 4;
    if (row_bytes != width * 4)
        check(gpu.api.fill(table32.address, 0, static_cast<size_t>(table32.bytes), stream), "clear the table");
    mmkg::cuda::RowCopy copy{};
    copy.from_type = mmkg::cuda::kHostMemory;
    copy.from_host = table;
    copy.to_type = mmkg::cuda::kDeviceMemory;
    copy.to_device = table32.address;
    copy.from_pitch = copy.width_bytes = static_cast<size_t>(width * 4);
    copy.to_pitch = static_cast<size_t>(row_bytes);
    copy.height = static_cast<size_t>(rows);
    check(gpu.api.copy_rows(&copy, stream), "copy the table to the GPU");
    check(gpu.api.stream_synchronize(stream), "copy the table to the GPU");
}

void mmkg_gpu_scan::round() {
    const mmkg::cuda::Stream stream = nullptr;
    const mmkg::cuda::Kernel &round_table = gpu.kernel("round_table");
    const int64_t blocks = tiles * mmkg::cuda::kTileRows / round_table.constant("ROWS");
    mmkg::cuda::Workspace work(gpu, mmkg::cuda::Workspace::rounded(8 * blocks), stream);
    const mmkg::cuda::Address largest = work.take(8 * blocks);
    round_table.launch({blocks},
                Arguments()
                    .address(table32.address)
                    .address(table16.address)
                    .address(largest)
                    .integer(rows)
                    .integer(chunks * mmkg::cuda::kChunk)
                    .integer(padded),
                stream);
    std::vector<float> found(static_cast<size_t>(2 * blocks));
    check(gpu.api.copy_to_host(found.data(), largest, found.size() * sizeof(float), stream), "copy from the GPU");
    check(gpu.api.stream_synchronize(stream), "round the table");
    for (size_t i = 0; i < found.size(); i += 2) {
        require(std::isfinite(found[i]) && std::isfinite(found[i + 1]),
                "the table holds a number that is not finite in bfloat16; rank it on the CPU, or mend it");
        table_size = std::max(table_size, found[i]);
        table_rest = std::max(table_rest, found[i + 1]);
    }
}

mmkg::cuda::Tensor mmkg_gpu_scan::rounded_table() const {
    return {table16.address, {tiles * mmkg::cuda::kTileRows, padded}, {padded, 1}};
}

int64_t mmkg_gpu_scan::whole_blocks(int64_t batch) const {
    const int64_t queries = bins->shape(batch).queries;  // those of ranks are the same
    return divided(batch, queries) * queries;
}

int64_t mmkg_gpu_scan::rounded_bytes(int64_t batch) const {
    using mmkg::cuda::Workspace;
    return Workspace::rounded(whole_blocks(batch) * padded * 2) + Workspace::rounded(4 * batch);
}

mmkg_gpu_scan::Rounded mmkg_gpu_scan::round(mmkg::cuda::Address queries, int64_t batch, mmkg::cuda::Workspace &work,
                                            mmkg::cuda::Stream stream) const {
    const int64_t whole = whole_blocks(batch);
    const Rounded made{work.take(whole * padded * 2), work.take(4 * batch)};
    round_queries.launch({whole / round_queries.constant("ROWS")},
                         Arguments()
                             .address(queries)
                             .address(made.queries)
                             .address(made.slack)
                             .integer(batch)
                             .integer(chunks * mmkg::cuda::kChunk)
                             .integer(padded)
                             .number(table_size)
                             .number(table_rest),
                         stream);
    return made;
}

mmkg_status mmkg_gpu_scan_open(mmkg_gpu *gpu, const float *table, int64_t rows, int64_t width, int32_t score,
                               float margin, mmkg_gpu_scan **scan) {
    return mmkg::cuda::on_gpu(gpu, [&] {
        require(scan != nullptr, "scan is NULL");
        require(rows >= 0 && rows <= MMKG_MAX_ROWS, "rows is not from 0 to 2^31 - 1");
        require(table != nullptr || rows == 0, "table is NULL");
        require(width >= 1 && width <= MMKG_MAX_WIDTH, "width is not from 1 to 2^20");
        require(score == MMKG_INNER_PRODUCT || score == MMKG_COMPLEX_DISTANCE, "score is none of mmkg_score");
        if (score == MMKG_COMPLEX_DISTANCE) {
            require(width % 2 == 0, "vectors of complex numbers have an even width");
            require(std::isfinite(margin), "margin is not finite");
        }
        *scan = std::make_unique<mmkg_gpu_scan>(*gpu, table, rows, width, static_cast<mmkg_score>(score), margin)
                    .release();
    });
}

void mmkg_gpu_scan_close(mmkg_gpu_scan *scan) {
    if (scan == nullptr) return;
    // A lost GPU refuses the scope; its memory is gone with it.
    mmkg::cuda::on_gpu(&scan->gpu, [&] {
        delete scan;
        scan = nullptr;
    });
}

mmkg_status mmkg_gpu_scan_rows(const mmkg_gpu_scan *scan, uint64_t *address, int64_t *stride) {
    return mmkg::guarded([&] {
        require(scan && address && stride, "scan, address or stride is NULL");
        *address = scan->table32.address;
        *stride = scan->row_numbers;
    });
}

int64_t mmkg_gpu_scan_bytes(const mmkg_gpu_scan *scan) {
    return scan == nullptr ? 0 : scan->table32.bytes + scan->table16.bytes;
}
