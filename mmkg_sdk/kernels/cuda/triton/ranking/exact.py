"""Canonical scores of whole tables and of pairs, in float32 without tensor cores.

What is left uncertain by products in bfloat16 is answered from here, and so are small tables and subsets of rows
(`candidates` of mmkg_top_k): slower, never uncertain. A score that is NaN is found here and nowhere else: the slack of
its query is infinite, so the query comes here.
"""

from __future__ import annotations

import triton
import triton.language as tl

from ..specs import KernelSpec
from .canonical import tree
from .scan import TILE, store_maxima

# What a partial count holds: rows better than the target, as good, and those of them with a lower id.
COUNTS = tl.constexpr(3)


@triton.jit
def tile_scores(queries, table, candidates, first, row, batch, rows, subset, chunks, QUERIES: tl.constexpr):
    """Canonical scores of QUERIES queries and a tile of rows, float32 [QUERIES, TILE]; 0 for what is none."""
    query = (first + tl.arange(0, QUERIES)).to(tl.int64)
    ids = row.to(tl.int64)
    if subset != 0:
        ids = tl.load(candidates + ids, mask=row < rows, other=0)
    lane = tl.arange(0, 16)
    width = chunks * 16
    lanes = tl.zeros((QUERIES, TILE, 16), dtype=tl.float32)
    for chunk in range(chunks):
        at = chunk * 16 + lane
        mine = tl.load(queries + query[:, None] * width + at[None, :], mask=(query < batch)[:, None], other=0.0)
        theirs = tl.load(table + ids[:, None] * width + at[None, :], mask=(row < rows)[:, None], other=0.0)
        mine = tl.broadcast_to(mine[:, None, :], (QUERIES, TILE, 16))
        lanes = tl.fma(mine, tl.broadcast_to(theirs[None, :, :], (QUERIES, TILE, 16)), lanes)
    return tl.reshape(tree(tl.reshape(lanes, (QUERIES * TILE, 16)), QUERIES * TILE), (QUERIES, TILE))


@triton.jit
def exact_bins(
    queries,
    table,
    candidates,
    bins,
    nans,
    batch,
    rows,
    subset,
    chunks,
    tiles,
    tiles_per_part,
    QUERIES: tl.constexpr,
):
    """scan_bins with canonical scores; the grid is [query tiles, parts].

    Args:
        queries: float32 [batch, 16 chunks].
        table: float32 [any, 16 chunks].
        candidates: int64 [rows], ascending: the rows of the table that are scanned; read if subset is 1.
        bins: float32 [batch, tiles * BINS], written; -inf if all rows of a bin are.
        nans: int32 [batch, parts], written: 1 where a score is NaN.
    """
    first = tl.program_id(0) * QUERIES
    query = first + tl.arange(0, QUERIES)
    start = tl.program_id(1) * tiles_per_part
    broken = tl.zeros((QUERIES, TILE), dtype=tl.int32)
    for tile in range(start, tl.minimum(start + tiles_per_part, tiles)):
        row = tl.arange(0, TILE) + tile * TILE
        scores = tile_scores(queries, table, candidates, first, row, batch, rows, subset, chunks, QUERIES)
        broken = broken | ((row < rows)[None, :] & (scores != scores)).to(tl.int32)
        scores = tl.where((row < rows)[None, :] & (scores == scores), scores, float("-inf"))
        store_maxima(bins, tile, scores, query, batch, tiles, QUERIES)
    place = query.to(tl.int64) * tl.num_programs(1) + tl.program_id(1)
    tl.store(nans + place, tl.max(broken, axis=1), mask=query < batch)


@triton.jit
def exact_counts(
    queries,
    table,
    targets,
    target_scores,
    counts,
    nans,
    batch,
    rows,
    chunks,
    tiles,
    tiles_per_part,
    QUERIES: tl.constexpr,
):
    """Where the target of each query stands among all rows but itself; the grid is [query tiles, parts].

    Args:
        queries: float32 [batch, 16 chunks].
        table: float32 [rows, 16 chunks].
        targets, target_scores: int64, float32 [batch], the scores canonical.
        counts: int32 [batch, parts, COUNTS], written.
        nans: int32 [batch, parts], written: 1 where a score is NaN.
    """
    first = tl.program_id(0) * QUERIES
    query = first + tl.arange(0, QUERIES)
    target = tl.load(targets + query, mask=query < batch, other=0)[:, None]
    target_score = tl.load(target_scores + query, mask=query < batch, other=0.0)[:, None]
    better = tl.zeros((QUERIES, TILE), dtype=tl.int32)
    equal = tl.zeros((QUERIES, TILE), dtype=tl.int32)
    lower = tl.zeros((QUERIES, TILE), dtype=tl.int32)
    broken = tl.zeros((QUERIES, TILE), dtype=tl.int32)
    start = tl.program_id(1) * tiles_per_part
    for tile in range(start, tl.minimum(start + tiles_per_part, tiles)):
        row = tl.arange(0, TILE) + tile * TILE
        scores = tile_scores(queries, table, targets, first, row, batch, rows, 0, chunks, QUERIES)
        other = (row < rows)[None, :] & (row[None, :] != target)
        better += (other & (scores > target_score)).to(tl.int32)
        equal += (other & (scores == target_score)).to(tl.int32)
        lower += (other & (scores == target_score) & (row[None, :] < target)).to(tl.int32)
        broken = broken | ((row < rows)[None, :] & (scores != scores)).to(tl.int32)
    place = query.to(tl.int64) * tl.num_programs(1) + tl.program_id(1)
    tl.store(counts + place * COUNTS, tl.sum(better, axis=1), mask=query < batch)
    tl.store(counts + place * COUNTS + 1, tl.sum(equal, axis=1), mask=query < batch)
    tl.store(counts + place * COUNTS + 2, tl.sum(lower, axis=1), mask=query < batch)
    tl.store(nans + place, tl.max(broken, axis=1), mask=query < batch)


@triton.jit
def pair_scores(queries, table, ids, scores, batch, chunks, PAIRS: tl.constexpr):
    """scores float32 [batch], written: canonical, of query i and row ids[i] of the table; programs take PAIRS each."""
    query = tl.program_id(0).to(tl.int64) * PAIRS + tl.arange(0, PAIRS)
    row = tl.load(ids + query, mask=query < batch, other=0)
    lane = tl.arange(0, 16)
    lanes = tl.zeros((PAIRS, 16), dtype=tl.float32)
    for chunk in range(chunks):
        at = chunk * 16 + lane[None, :]
        mine = tl.load(queries + query[:, None] * (chunks * 16) + at, mask=(query < batch)[:, None], other=0.0)
        theirs = tl.load(table + row[:, None] * (chunks * 16) + at, mask=(query < batch)[:, None], other=0.0)
        lanes = tl.fma(mine, theirs, lanes)
    tl.store(scores + query, tree(lanes, PAIRS), mask=query < batch)


_EXACT_BINS = {
    "queries": "*fp32",
    "table": "*fp32",
    "candidates": "*i64",
    "bins": "*fp32",
    "nans": "*i32",
    "batch": "i32",
    "rows": "i32",
    "subset": "i32",
    "chunks": "i32",
    "tiles": "i32",
    "tiles_per_part": "i32",
}
_EXACT_COUNTS = {
    "queries": "*fp32",
    "table": "*fp32",
    "targets": "*i64",
    "target_scores": "*fp32",
    "counts": "*i32",
    "nans": "*i32",
    "batch": "i32",
    "rows": "i32",
    "chunks": "i32",
    "tiles": "i32",
    "tiles_per_part": "i32",
}
_PAIRS = {
    "queries": "*fp32",
    "table": "*fp32",
    "ids": "*i64",
    "scores": "*fp32",
    "batch": "i32",
    "chunks": "i32",
}
KERNELS = (
    KernelSpec("exact_bins", exact_bins, _EXACT_BINS, {"QUERIES": 8}, num_warps=8, num_stages=2),
    KernelSpec("exact_counts", exact_counts, _EXACT_COUNTS, {"QUERIES": 8}, num_warps=8, num_stages=2),
    KernelSpec("pair_scores", pair_scores, _PAIRS, {"PAIRS": 64}, num_warps=8, num_stages=2),
)
