// What one instruction set offers to the scans: canonical scores, and the first pass over tiles.
#pragma once

#include <cstddef>
#include <cstdint>

#include "scoring/packed_set.h"

namespace mmkg {

constexpr int kLanes = 16;          // of a canonical score
constexpr int kMaxTileRows = 12;    // of any instruction set
constexpr int kMaxPanelLanes = 32;  // queries of a panel, two vectors of 16
constexpr int kPanels = 3;          // kinds of panels: half a vector, a vector or two; or one, two and two

// Added to every squared modulus of a first pass, so that its inverse root is finite: 2^-126.
constexpr float kTinySquare = 1.17549435e-38f;

// A row and a query (as places in their tile) that the first pass cannot decide.
struct Hit {
    int32_t row;
    int32_t lane;
};

// A few rows and one panel of queries, whose approximate values stay in registers. The value of an inner product is
// the product, that of a distance the negative distance without the margin: higher is better in both.
struct Tile {
    const float *rows;      // of the table, `stride` floats apart, one after the other
    ptrdiff_t stride;
    const float *upcoming;  // where the next tile begins; may be `rows`
    const float *panel;     // one vector of queries per coordinate; for distances the real, then the imaginary parts
    int64_t coordinates;    // width, or complex coordinates
    float norm;             // at least that of every row; 0 for distances
    const float *low;       // per lane: a value below low - slope * norm is that of a worse row,
    const float *high;      //           a value above high + slope * norm that of a better one (counting only)
    const float *slope;
};

// Canonical scores of a few queries with `count` rows, both one after the other; written as [num_queries, count].
struct ExactRows {
    const float *queries;  // [num_queries, width]
    int64_t num_queries;
    const float *rows;
    int64_t count;
    int64_t width;
    float margin;
};

// Canonical scores of queries[i] with rows[i].
struct ExactPairs {
    const float *const *queries;
    const float *const *rows;
    int64_t count;
    int64_t width;
    float margin;
};

// Canonical scores of one query with rows[i].
struct ExactChosen {
    const float *query;
    const float *const *rows;
    int64_t count;
    int64_t width;
    float margin;
};

// The first pass over tiles of one kind.
struct PanelKernel {
    int lanes;                                                  // queries of the panel
    int (*select)(const Tile &, Hit *hits);                     // rows that are not worse; gives their number
    int (*count)(const Tile &, int32_t *better, Hit *hits);     // better ones are added to better[lane]
};

// Index [score] is that of mmkg_score.
struct InstructionSet {
    int32_t id;
    const char *name;
    int tile_rows[2];
    int64_t small_batch[2];  // up to so many queries canonical scores of all rows cost no more than tiles
    double root_error;       // relative, of the first pass's square root
    void (*exact_rows[2])(const ExactRows &, float *scores);
    void (*exact_pairs[2])(const ExactPairs &, float *scores);
    void (*exact_chosen[2])(const ExactChosen &, float *scores);
    PanelKernel panels[2][kPanels];  // fewest lanes first
    PackedPass packed[3];  // inner products; index is that of mmkg_storage
};

const InstructionSet &portable_set();
// Null where the build has no such code, or the processor cannot run it.
const InstructionSet *avx2_set();
const InstructionSet *avx2_vnni_set();
const InstructionSet *avx512_set();
const InstructionSet *avx512_vnni_set();
const InstructionSet *avx512_bf16_set();
const InstructionSet *neon_set();
const InstructionSet *neon_dot_set();
const InstructionSet *neon_bf16_set();
const InstructionSet *neon_i8mm_set();

}  // namespace mmkg
