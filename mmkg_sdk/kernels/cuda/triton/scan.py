"""First pass of top-k: how large the scores of 32 rows can be, from products of bfloat16.

The rows of the table stand in tiles of 128. The *bin* 4 t + c of a query has the 32 rows of tile t with
(row % 8) // 2 == c: those whose scores one thread holds after a product of tensor cores, so that their maximum takes
no exchange between threads. Nothing is listed or compared with a threshold; the k best rows lie in the k best bins (one
more for each excluded row). scan.md says how the kernels work together.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .scan_shapes import shapes

TILE = tl.constexpr(128)  # rows of the table
BINS = tl.constexpr(4)  # of a tile
BIN_ROWS = tl.constexpr(32)


@triton.jit
def row_of_bin(bin_, place):
    """The row, int64, that stands at some place (0 to 31) of a bin; rows ascend with places."""
    return bin_.to(tl.int64) // BINS * TILE + place // 2 * 8 + bin_ % BINS * 2 + place % 2


@triton.jit
def load_queries(queries, first, at, width, QUERIES: tl.constexpr, CHUNK: tl.constexpr):
    """bfloat16 [QUERIES, CHUNK] from coordinate `at` on."""
    query = (first + tl.arange(0, QUERIES)).to(tl.int64)
    return tl.load(queries + query[:, None] * width + at + tl.arange(0, CHUNK)[None, :])


@triton.jit
def load_rows(table, tile, at, width, CHUNK: tl.constexpr, MAP: tl.constexpr):
    """bfloat16 [TILE, CHUNK] from coordinate `at` on; table is a tensor map if MAP, else an address.

    Nothing is masked: the table is padded with zeros to whole tiles.
    """
    if MAP:
        rows = table.load([tile * TILE, at])
    else:
        row = (tl.arange(0, TILE) + tile * TILE).to(tl.int64)
        rows = tl.load(table + row[:, None] * width + at + tl.arange(0, CHUNK)[None, :])
    return rows


@triton.jit
def bin_maxima(scores, QUERIES: tl.constexpr):
    """float32 [QUERIES, 4] of [QUERIES, TILE]."""
    return tl.max(tl.max(tl.reshape(scores, (QUERIES, TILE // 8, BINS, 2)), axis=3), axis=1)


@triton.jit
def scan_bins(
    queries,
    table,
    bins,
    batch,
    tiles,
    tiles_per_part,
    QUERIES: tl.constexpr,
    WIDTH: tl.constexpr,
    MAP: tl.constexpr,
):
    """Bins of narrow tables: the queries stay in the multiprocessor while tiles of the table pass.

    Padding rows of the last tile are zeros and score 0: the bins they are in may be too large, never too small.

    Args:
        queries: bfloat16 [batch rounded up to QUERIES, WIDTH].
        table: bfloat16 [tiles * TILE, WIDTH], a tensor map if MAP, else an address.
        bins: float32 [batch, tiles * BINS], written.
        tiles_per_part: programs (i, p) of the grid [query tiles, parts] take tiles from p * tiles_per_part on.
    """
    first = tl.program_id(0) * QUERIES
    mine = load_queries(queries, first, 0, WIDTH, QUERIES, WIDTH)
    query = first + tl.arange(0, QUERIES)
    start = tl.program_id(1) * tiles_per_part
    out = bins + query.to(tl.int64)[:, None] * (tiles * BINS) + tl.arange(0, BINS)[None, :]
    for tile in tl.range(start, tl.minimum(start + tiles_per_part, tiles)):
        scores = tl.dot(mine, load_rows(table, tile, 0, WIDTH, WIDTH, MAP).T)
        tl.store(out + tile * BINS, bin_maxima(scores, QUERIES), mask=query[:, None] < batch)


@triton.jit
def scan_bins_wide(
    queries,
    table,
    bins,
    batch,
    chunks,
    tiles,
    tiles_per_part,
    QUERIES: tl.constexpr,
    CHUNK: tl.constexpr,
    MAP: tl.constexpr,
):
    """scan_bins for any width that is a multiple of CHUNK: queries and rows pass in pieces of CHUNK coordinates.

    width = chunks * CHUNK.
    """
    width = chunks * CHUNK  # so that the compiler knows how addresses are aligned
    first = tl.program_id(0) * QUERIES
    query = first + tl.arange(0, QUERIES)
    start = tl.program_id(1) * tiles_per_part
    out = bins + query.to(tl.int64)[:, None] * (tiles * BINS) + tl.arange(0, BINS)[None, :]
    for tile in range(start, tl.minimum(start + tiles_per_part, tiles)):
        scores = tl.zeros((QUERIES, TILE), dtype=tl.float32)
        for at in tl.range(0, width, CHUNK):
            mine = load_queries(queries, first, at, width, QUERIES, CHUNK)
            scores = tl.dot(mine, load_rows(table, tile, at, width, CHUNK, MAP).T, scores)
        tl.store(out + tile * BINS, bin_maxima(scores, QUERIES), mask=query[:, None] < batch)


KERNELS = tuple(
    shapes(
        "scan_bins",
        scan_bins,
        scan_bins_wide,
        {"queries": "*bf16", "bins": "*fp32", "batch": "i32", "tiles": "i32", "tiles_per_part": "i32"},
    )
)
