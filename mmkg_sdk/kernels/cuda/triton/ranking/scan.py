"""First pass of top-k: how large the scores of 16 rows can be, from products of bfloat16.

The rows of the table stand in tiles of 128. The *bin* 8 t + 4 h + c of a query has the 16 rows of half h of tile t with
(row % 8) // 2 == c: those whose scores one thread holds after a product of tensor cores, so that their maximum takes
no exchange between threads. Nothing is listed or compared with a threshold; the k best rows lie in the k best bins (one
more for each excluded row). scan.md says how the kernels work together.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .scan_shapes import shapes

TILE = tl.constexpr(128)  # rows of the table
BINS = tl.constexpr(8)  # of a tile
BIN_ROWS = tl.constexpr(16)


@triton.jit
def row_of_bin(bin_, place, SHARES: tl.constexpr):
    """The row, int64, at some place of a bin, with SHARES bins in a tile (4 or 8); rows ascend with places."""
    within = bin_ % SHARES
    return bin_.to(tl.int64) // SHARES * TILE + within // 4 * 64 + place // 2 * 8 + within % 4 * 2 + place % 2


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
def store_maxima(bins, tile, scores, query, batch, tiles, QUERIES: tl.constexpr):
    """Writes the bins of a tile, from scores float32 [QUERIES, TILE]. Each half apart: a thread has one of its four."""
    of_pairs = tl.max(tl.reshape(scores, (QUERIES, 2, TILE // 16, 4, 2)), axis=4)
    upper, lower = tl.split(tl.permute(tl.max(of_pairs, axis=2), (0, 2, 1)))
    out = bins + query.to(tl.int64)[:, None] * (tiles * BINS) + (tl.arange(0, 4)[None, :] + tile * BINS)
    tl.store(out, upper, mask=query[:, None] < batch)
    tl.store(out + 4, lower, mask=query[:, None] < batch)


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
    for tile in tl.range(start, tl.minimum(start + tiles_per_part, tiles)):
        scores = tl.dot(mine, load_rows(table, tile, 0, WIDTH, WIDTH, MAP).T)
        store_maxima(bins, tile, scores, query, batch, tiles, QUERIES)


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
    for tile in range(start, tl.minimum(start + tiles_per_part, tiles)):
        scores = tl.zeros((QUERIES, TILE), dtype=tl.float32)
        for at in tl.range(0, width, CHUNK):
            mine = load_queries(queries, first, at, width, QUERIES, CHUNK)
            scores = tl.dot(mine, load_rows(table, tile, at, width, CHUNK, MAP).T, scores)
        store_maxima(bins, tile, scores, query, batch, tiles, QUERIES)


KERNELS = tuple(
    shapes(
        "scan_bins",
        scan_bins,
        scan_bins_wide,
        {"queries": "*bf16", "bins": "*fp32", "batch": "i32", "tiles": "i32", "tiles_per_part": "i32"},
    )
)
