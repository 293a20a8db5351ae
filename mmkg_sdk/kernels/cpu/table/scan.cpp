#include "table/scan.h"

#include <algorithm>
#include <cmath>
#include <memory>

#include "common/choose_set.h"
#include "common/float_mode.h"
#include "simd/int8.h"

namespace mmkg {

namespace {

// About 20 microseconds of one core, several times what waking a thread costs.
constexpr double kPartCost = 1 << 20;
// Of one complex coordinate against one of an inner product.
constexpr double kDistanceCost = 4.0;
// Of int8_error. Above, 8 bits leave so many rows to be settled that another first pass is faster (measured with 15,000
// and 200,000 rows of 256, k 10 and 100): bfloat16, even at 0.3 to 0.5; or, where the set has none, the table itself.
// That takes 1.1 to 3.7 times as long at 0.4 to 0.65 on AVX2 with k 10; only with k 100, 15,000 rows and 32 queries does
// it take less, by a fifth at 0.5. Normal numbers have 0.22 at width 256, and 0.33 with queries of 7 bits; more have
// rows with a few large and many small numbers, or with much in common.
constexpr double kLargeError = 0.35, kLargeErrorAlone = 0.5;

const InstructionSet *instruction_set(int32_t id) {
    if (id == MMKG_PORTABLE) return &portable_set();
    if (id == MMKG_AVX2) return avx2_set();
    if (id == MMKG_AVX2_VNNI) return avx2_vnni_set();
    if (id == MMKG_AVX512) return avx512_set();
    if (id == MMKG_AVX512_VNNI) return avx512_vnni_set();
    if (id == MMKG_AVX512_BF16) return avx512_bf16_set();
    if (id == MMKG_NEON) return neon_set();
    if (id == MMKG_NEON_DOT) return neon_dot_set();
    if (id == MMKG_NEON_BF16) return neon_bf16_set();
    if (id == MMKG_NEON_I8MM) return neon_i8mm_set();
    return nullptr;
}

}  // namespace

void AnswerLists::check(int64_t batch, int64_t rows, const char *wrong) const {
    if (!offsets) return;
    require(offsets[0] == 0, wrong);
    for (int64_t i = 0; i < batch; ++i) require(offsets[i] <= offsets[i + 1], wrong);
    require(ids || offsets[batch] == 0, wrong);
    for (int64_t i = 0; i < batch; ++i) {
        int64_t before = -1;
        for (const int64_t *id = begin(i); id != end(i); ++id) {
            require(*id > before && *id < rows, wrong);
            before = *id;
        }
    }
}

bool AnswerLists::hold(int64_t query, int64_t id) const {
    return offsets && std::binary_search(begin(query), end(query), id);
}

void check_queries(const mmkg_scan *scan, const float *queries, int64_t batch) {
    require(scan, "scan is NULL");
    require(batch >= 0 && batch <= INT32_MAX, "batch is negative or above 2^31 - 1");
    require(queries || batch == 0, "queries is NULL");
}

int parts_of(const Pool::Lease &lease, double cost, int64_t items) {
    const double most = std::min<double>(lease.threads(), static_cast<double>(items));
    return static_cast<int>(std::max(1.0, std::min(cost / kPartCost, most)));
}

}  // namespace mmkg

mmkg_scan::mmkg_scan(const float *table_, int64_t rows_, int64_t width_, int score_, float margin_,
                     const mmkg::InstructionSet &set_, int storage, mmkg::Pool &pool_)
    : table(table_),
      rows(rows_),
      width(width_),
      score(score_),
      margin(margin_),
      set(set_),
      pool(pool_),
      bounds(score_, width_, margin_, set_.root_error) {
    if (score != MMKG_INNER_PRODUCT) return;
    norms.resize(rows);
    mmkg::Pool::Lease lease(pool);
    const int parts = mmkg::parts_of(lease, cost(rows), rows);
    lease.run(parts, [&](int part) {
        const mmkg::FloatMode mode;
        const int64_t end = mmkg::part_start(rows, 1, part + 1, parts);
        for (int64_t id = mmkg::part_start(rows, 1, part, parts); id < end; ++id) {
            norms[id] = bounds.norm(exact_one(table + id * width, id));
        }
    });
    const int chosen = chosen_storage(storage);
    if (chosen == MMKG_FLOAT32) return;
    packed = std::make_unique<mmkg::PackedTable>(chosen, rows, width, set.packed[chosen].word_cost);
    lease.run(parts, [&](int part) {
        const mmkg::FloatMode mode;
        packed->pack(table, norms.data(), mmkg::part_start(packed->groups(), 1, part, parts),
                     mmkg::part_start(packed->groups(), 1, part + 1, parts));
    });
}

int mmkg_scan::chosen_storage(int storage) const {
    if (storage != MMKG_BEST_STORAGE) return storage;
    // However small the table: with 250 rows of 256 the copies are as fast for one query, and twice as fast for 64.
    const mmkg::PackedPass &codes = set.packed[MMKG_INT8];
    const bool halves = set.packed[MMKG_BFLOAT16].score != nullptr;
    if (codes.score && width <= mmkg::kMaxInt8Width &&
        mmkg::int8_error(table, norms.data(), rows, width, codes.query_codes) <=
            (halves ? mmkg::kLargeError : mmkg::kLargeErrorAlone)) {
        return MMKG_INT8;
    }
    return halves ? MMKG_BFLOAT16 : MMKG_FLOAT32;
}

double mmkg_scan::cost(int64_t pairs) const {
    return static_cast<double>(pairs) * (score == MMKG_INNER_PRODUCT ? width : mmkg::kDistanceCost * width / 2);
}

int32_t mmkg_abi_version(void) { return MMKG_ABI_VERSION; }

int32_t mmkg_has_instruction_set(int32_t id) { return mmkg::instruction_set(id) != nullptr; }

const char *mmkg_instruction_set_name(int32_t id) {
    static const char *const x86[] = {"portable", "avx2", "avx512", "avx512_vnni", "avx512_bf16", "avx2_vnni"};
    static const char *const arm[] = {"neon", "neon_dot", "neon_bf16", "neon_i8mm"};
    if (id >= MMKG_NEON) return id <= MMKG_NEON_I8MM ? arm[id - MMKG_NEON] : nullptr;
    return id >= 0 && id <= MMKG_AVX2_VNNI ? x86[id] : nullptr;
}

mmkg_status mmkg_pool_open(int32_t threads, mmkg_pool **pool) {
    return mmkg::guarded([&] {
        mmkg::require(pool, "pool is NULL");
        mmkg::require(threads >= 1 && threads <= MMKG_MAX_THREADS, "threads is not from 1 to 1024");
        *pool = new mmkg_pool(threads);
    });
}

void mmkg_pool_close(mmkg_pool *pool) { delete pool; }

mmkg_status mmkg_scan_open(const float *table, int64_t rows, int64_t width, int32_t score, float margin,
                           int32_t instruction_set, int32_t storage, mmkg_pool *pool, mmkg_scan **scan) {
    return mmkg::guarded([&] {
        using mmkg::require;
        require(scan, "scan is NULL");
        require(pool, "pool is NULL");
        require(rows >= 0 && rows <= MMKG_MAX_ROWS, "rows is not from 0 to 2^31 - 1");
        require(table || rows == 0, "table is NULL");
        require(width >= 1 && width <= MMKG_MAX_WIDTH, "width is not from 1 to 2^20");
        require(score == MMKG_INNER_PRODUCT || score == MMKG_COMPLEX_DISTANCE, "score is none of mmkg_score");
        if (score == MMKG_COMPLEX_DISTANCE) {
            require(width % 2 == 0, "width is odd; complex vectors hold as many real as imaginary parts");
            require(std::isfinite(margin), "margin is not finite");
        }
        const mmkg::InstructionSet &set = mmkg::chosen_set(instruction_set, mmkg::instruction_set);
        require(storage >= MMKG_BEST_STORAGE && storage <= MMKG_INT8, "storage is none of mmkg_storage");
        const bool product = score == MMKG_INNER_PRODUCT;
        require(storage != MMKG_BFLOAT16 || (product && set.packed[MMKG_BFLOAT16].score),
                "bfloat16 storage needs the inner product and the instruction set avx512_bf16, neon_bf16 or neon_i8mm");
        require(storage != MMKG_INT8 || (product && set.packed[MMKG_INT8].score),
                "int8 storage needs the inner product and an instruction set other than portable and neon");
        require(storage != MMKG_INT8 || width <= mmkg::kMaxInt8Width, "int8 storage needs a width of at most 2^17");
        const mmkg::FloatMode mode;
        *scan = new mmkg_scan(table, rows, width, score, margin, set, storage, pool->pool);
    });
}

void mmkg_scan_close(mmkg_scan *scan) { delete scan; }

int32_t mmkg_scan_instruction_set(const mmkg_scan *scan) { return scan ? scan->set.id : -1; }

int32_t mmkg_scan_storage(const mmkg_scan *scan) {
    return scan ? scan->packed ? scan->packed->storage() : MMKG_FLOAT32 : MMKG_BEST_STORAGE;
}

int64_t mmkg_scan_bytes(const mmkg_scan *scan) {
    if (!scan) return 0;
    const auto norms = static_cast<int64_t>(scan->norms.size() * sizeof(float));
    return norms + (scan->packed ? scan->packed->bytes() : 0);
}

mmkg_status mmkg_pair_scores(const mmkg_scan *scan, const float *queries, int64_t batch, const int64_t *ids,
                             float *scores) {
    return mmkg::guarded([&] {
        mmkg::check_queries(scan, queries, batch);
        mmkg::require((ids && scores) || batch == 0, "ids or scores is NULL");
        for (int64_t i = 0; i < batch; ++i) mmkg::require(ids[i] >= 0 && ids[i] < scan->rows, "an id is out of range");
        const mmkg::FloatMode mode;
        for (int64_t i = 0; i < batch; ++i) scores[i] = scan->exact_one(queries + i * scan->width, ids[i]);
    });
}
