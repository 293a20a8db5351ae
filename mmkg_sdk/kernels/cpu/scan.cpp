#include "scan.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "bfloat.h"
#include "float_mode.h"

namespace mmkg {

namespace {

// About 20 microseconds of one core, several times what waking a thread costs.
constexpr double kPartCost = 1 << 20;
// Of one complex coordinate against one of an inner product.
constexpr double kDistanceCost = 4.0;

const InstructionSet *instruction_set(int32_t id) {
    if (id == MMKG_PORTABLE) return &portable_set();
    if (id == MMKG_AVX2) return avx2_set();
    if (id == MMKG_AVX512) return avx512_set();
    if (id == MMKG_AVX512_BF16) return avx512_bf16_set();
    return nullptr;
}

const InstructionSet &best_set() {
    const char *wanted = std::getenv("MMKG_INSTRUCTION_SET");
    for (int32_t id = MMKG_AVX512_BF16; id >= MMKG_PORTABLE; --id) {
        const InstructionSet *set = instruction_set(id);
        if (set && (!wanted || !*wanted || std::strcmp(wanted, set->name) == 0)) return *set;
    }
    throw BadArgument("MMKG_INSTRUCTION_SET names none of this processor's: portable, avx2, avx512 or avx512_bf16");
}

const InstructionSet &chosen_set(int32_t id) {
    if (id == MMKG_BEST) return best_set();
    const InstructionSet *set = instruction_set(id);
    require(set, "instruction_set is none of this build and processor");
    return *set;
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

int parts_of(const mmkg_scan &scan, const Pool::Lease &lease, int64_t pairs, int64_t items) {
    const double each = scan.score == MMKG_INNER_PRODUCT ? scan.width : kDistanceCost * scan.width / 2;
    const double worth = static_cast<double>(pairs) * each / kPartCost;
    const double most = std::min<double>(lease.threads(), static_cast<double>(items));
    return static_cast<int>(std::max(1.0, std::min(worth, most)));
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
      bounds(score_, width_, margin_, set_.root_error),
      table_pass{table_, width_, score_ == MMKG_INNER_PRODUCT ? width_ : width_ / 2, set_.panels[score_], false, 0.0},
      storage_pass(table_pass) {
    if (score != MMKG_INNER_PRODUCT) return;
    norms.resize(rows);
    if (storage == MMKG_BFLOAT16) {
        const int64_t pairs = mmkg::bfloat_pairs(width);
        bfloat_copy_.reset(new float[rows * pairs]);
        storage_pass = {bfloat_copy_.get(), pairs, pairs, set.bfloat_panels, true, 0.0};
    }
    mmkg::Pool::Lease lease(pool);
    const int parts = mmkg::parts_of(*this, lease, rows, rows);
    std::vector<double> shares(parts, 0.0);
    lease.run(parts, [&](int part) {
        const mmkg::FloatMode mode;
        const int64_t first = mmkg::part_start(rows, 1, part, parts), end = mmkg::part_start(rows, 1, part + 1, parts);
        measure(first, end);
        if (bfloat_copy_) shares[part] = round(first, end);
    });
    storage_pass.lost_share = *std::max_element(shares.begin(), shares.end());
}

// The norms of rows.
void mmkg_scan::measure(int64_t first, int64_t end) {
    for (int64_t id = first; id < end; ++id) norms[id] = bounds.norm(exact_one(table + id * width, id));
}

// Rounds rows to bfloat16; gives the largest share of a row's norm that was lost. Rows of infinite norm are settled.
double mmkg_scan::round(int64_t first, int64_t end) {
    double share = 0.0;
    for (int64_t id = first; id < end; ++id) {
        float *pairs = bfloat_copy_.get() + id * storage_pass.places;
        const double lost = mmkg::pack_bfloat(table + id * width, width, pairs, 1);
        if (std::isfinite(norms[id])) share = std::max(share, std::sqrt(lost) / norms[id]);
    }
    return share;
}

int32_t mmkg_abi_version(void) { return MMKG_ABI_VERSION; }

int32_t mmkg_has_instruction_set(int32_t id) { return mmkg::instruction_set(id) != nullptr; }

const char *mmkg_instruction_set_name(int32_t id) {
    static const char *const names[] = {"portable", "avx2", "avx512", "avx512_bf16"};
    return id >= 0 && id < 4 ? names[id] : nullptr;
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
        const mmkg::InstructionSet &set = mmkg::chosen_set(instruction_set);
        require(storage == MMKG_FLOAT32 || storage == MMKG_BFLOAT16, "storage is none of mmkg_storage");
        require(storage == MMKG_FLOAT32 || (score == MMKG_INNER_PRODUCT && set.bfloat_panels),
                "bfloat16 storage needs the inner product and the instruction set avx512_bf16");
        const mmkg::FloatMode mode;
        *scan = new mmkg_scan(table, rows, width, score, margin, set, storage, pool->pool);
    });
}

void mmkg_scan_close(mmkg_scan *scan) { delete scan; }

int32_t mmkg_scan_instruction_set(const mmkg_scan *scan) { return scan ? scan->set.id : -1; }

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
