// What one instruction set offers to the scans: canonical scores, and the first pass over tiles.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mmkg {

constexpr int kLanes = 16;          // of a canonical score
constexpr int kMaxTileRows = 12;    // of any instruction set
constexpr int kMaxPanelLanes = 32;  // queries of a panel, two vectors of 16

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
    const float *rows;      // of the table, `stride` floats apart
    ptrdiff_t stride;
    const float *upcoming;  // rows to prefetch, as far apart; may be `rows`
    const float *panel;     // one vector of queries per coordinate; for distances the real, then the imaginary parts
    int64_t coordinates;    // width, or complex coordinates
    float norm;             // at least that of every row; 0 for distances
    const float *low;       // per lane: a value below low - slope * norm is that of a worse row,
    const float *high;      //           a value above high + slope * norm that of a better one (counting only)
    const float *slope;
};

// Canonical scores of `count` rows, `stride` floats apart, with one query.
struct ExactRows {
    const float *query;
    const float *rows;
    ptrdiff_t stride;
    int64_t count;
    int64_t width;
    float margin;
};

// Index [score] is that of mmkg_score, [vectors - 1] the vectors of queries in a panel.
struct InstructionSet {
    int32_t id;
    const char *name;
    int lanes;                    // queries in one vector
    int tile_rows[2];             // [score]
    int64_t small_batch[2];       // [score] up to so many queries canonical scores of all rows cost no more than tiles
    double root_error;            // relative, of the first pass's square root
    void (*exact[2])(const ExactRows &, float *scores);
    int (*select[2][2])(const Tile &, Hit *hits);                   // rows that are not worse; gives their number
    int (*count[2][2])(const Tile &, int32_t *better, Hit *hits);   // better ones are added to better[lane]
};

const InstructionSet &portable_set();
// Null where the build has no such code, or the processor cannot run it.
const InstructionSet *avx2_set();
const InstructionSet *avx512_set();

}  // namespace mmkg
