"""Top-k and ranks by the distance of complex vectors (MMKG_COMPLEX_DISTANCE of include/mmkg.h), exact to the bit.

Queries are float32 [batch, 2 half], the table is float32 [any, 2 half]: `half` real parts, then `half` imaginary ones.
Every score is the canonical one from the start, so that nothing has to be certified: square roots take the time here,
not bytes. (A first pass with the hardware's approximate roots would take about half the instructions, by their number,
and a certificate.) The kernels stand in the exact pass of the scan (scan.md) where those of inner products are:

    distance_bins    exact_bins
    distance_settle  settle_rows
    distance_counts  exact_counts
    distance_pairs   pair_scores
    distance_known   what finish_ranks does with known answers; that one runs before it, with empty lists

All take `half` and `margin` in place of `chunks`; nothing is padded. None of this has ever run on a GPU.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .canonical import is_listed, key_of, tree
from .exact import COUNTS
from .scan import BIN_ROWS, BINS, TILE, row_of_bin
from .specs import TARGETS, KernelSpec

# Queries of a program, which share the rows that it reads, and rows at a time: as many scores as leave registers for
# several blocks on a multiprocessor, whose roots hide each other's latency.
_QUERIES = 8
PART = tl.constexpr(32)
_PAIRS = 64


@triton.jit
def coordinates(vectors, at, half):
    """Real and imaginary parts from addresses of vectors; zeros past the end, where they add a root of zero."""
    inside = at < half
    return tl.load(vectors + at, mask=inside, other=0.0), tl.load(vectors + half + at, mask=inside, other=0.0)


@triton.jit
def modulus(re, im):
    """|re + i im|, each operation rounded once (specs are compiled without fusing any)."""
    return tl.math.sqrt_rn(tl.fma(re, re, im * im))


@triton.jit
def distances(queries, table, query, row, half, margin, SCORES: tl.constexpr):
    """Canonical scores of query[i] with row[i], float32 [SCORES]; both int64, rows of their tables."""
    lanes = tl.zeros((SCORES, 16), dtype=tl.float32)
    for start in range(0, half, 16):
        at = (start + tl.arange(0, 16))[None, :]
        re, im = coordinates(queries + query[:, None] * (2 * half), at, half)
        row_re, row_im = coordinates(table + row[:, None] * (2 * half), at, half)
        lanes += modulus(re - row_re, im - row_im)
    return (margin - tree(lanes, SCORES)) + 0.0


@triton.jit
def part_distances(queries, table, candidates, first, row, batch, rows, subset, half, margin, QUERIES: tl.constexpr):
    """Canonical scores of QUERIES queries and PART rows, float32 [QUERIES, PART]; what is none repeats the last."""
    query = tl.minimum(first + tl.arange(0, QUERIES), batch - 1).to(tl.int64)
    ids = tl.minimum(row, rows - 1).to(tl.int64)
    if subset != 0:
        ids = tl.load(candidates + ids)
    lanes = tl.zeros((QUERIES, PART, 16), dtype=tl.float32)
    for start in range(0, half, 16):
        at = (start + tl.arange(0, 16))[None, :]
        re, im = coordinates(queries + query[:, None] * (2 * half), at, half)
        row_re, row_im = coordinates(table + ids[:, None] * (2 * half), at, half)
        lanes += modulus(re[:, None, :] - row_re[None], im[:, None, :] - row_im[None])
    total = tree(tl.reshape(lanes, (QUERIES * PART, 16)), QUERIES * PART)
    return tl.reshape((margin - total) + 0.0, (QUERIES, PART))


@triton.jit
def distance_bins(
    queries,
    table,
    candidates,
    bins,
    nans,
    batch,
    rows,
    subset,
    half,
    margin,
    tiles,
    tiles_per_part,
    QUERIES: tl.constexpr,
):
    """exact_bins by distance; the grid is [query tiles, parts].

    Args:
        candidates: int64 [rows], ascending: the rows of the table that are scanned; read if subset is 1.
        bins: float32 [batch, tiles * BINS], written; -inf if all rows of a bin are.
        nans: int32 [batch, parts], written: 1 where a score is NaN.
    """
    first = tl.program_id(0) * QUERIES
    query = first + tl.arange(0, QUERIES)
    start = tl.program_id(1) * tiles_per_part
    broken = tl.zeros((QUERIES, PART), dtype=tl.int32)
    for side in range(start * 2, tl.minimum(start + tiles_per_part, tiles) * 2):  # halves of tiles, with four bins each
        best = tl.full((QUERIES, PART), float("-inf"), dtype=tl.float32)
        for part in range(TILE // 2 // PART):
            row = tl.arange(0, PART) + (side * (TILE // 2) + part * PART)
            scores = part_distances(queries, table, candidates, first, row, batch, rows, subset, half, margin, QUERIES)
            broken = broken | (scores != scores).to(tl.int32)
            best = tl.maximum(best, tl.where((row < rows)[None, :] & (scores == scores), scores, float("-inf")))
        # A bin has two of eight neighbouring rows, as in store_maxima.
        pairs = tl.reshape(best, (QUERIES, PART // 8, 4, 2))
        maxima = tl.max(tl.max(pairs, axis=3), axis=1)
        out = bins + query.to(tl.int64)[:, None] * (tiles * BINS) + (tl.arange(0, 4) + side * 4)[None, :]
        tl.store(out, maxima, mask=query[:, None] < batch)
    place = query.to(tl.int64) * tl.num_programs(1) + tl.program_id(1)
    tl.store(nans + place, tl.max(broken, axis=1), mask=query < batch)


@triton.jit
def distance_settle(
    queries,
    table,
    candidates,
    chosen,
    lengths,
    excluded_offsets,
    excluded,
    keys,
    rows,
    subset,
    half,
    margin,
    most,
    ROWS: tl.constexpr,
):
    """Keys of the rows of the chosen bins; the grid is [batch, any number], whose programs share them.

    Args:
        candidates: int64 [rows], ascending; read if subset is 1.
        chosen, lengths: int32 [batch, most] bins and [batch], of select_best.
        excluded_offsets, excluded: int64, as in mmkg.h.
        keys: uint64 [batch, most * BIN_ROWS], written for the chosen bins: 0 for rows that are none, excluded or of
            score -inf.
    """
    query = tl.program_id(0).to(tl.int64)
    low = tl.load(excluded_offsets + query)
    high = tl.load(excluded_offsets + query + 1)
    total = tl.load(lengths + query) * BIN_ROWS
    for start in range(tl.program_id(1) * ROWS, total, tl.num_programs(1) * ROWS):
        place = start + tl.arange(0, ROWS)
        bin_ = tl.load(chosen + query * most + place // BIN_ROWS, mask=place < total, other=0)
        row = row_of_bin(bin_, place % BIN_ROWS, BINS)
        live = (place < total) & (row < rows)
        ids = tl.where(live, row, 0)
        if subset != 0:
            ids = tl.load(candidates + ids)
        live = live & (is_listed(ids, excluded, low, high) == 0)
        score = distances(queries, table, tl.zeros_like(ids) + query, ids, half, margin, ROWS)
        key = tl.where(live & (score > float("-inf")), key_of(score, ids), 0)
        tl.store(keys + query * (most * BIN_ROWS) + place, key.to(tl.uint64), mask=place < total)


@triton.jit
def distance_counts(
    queries,
    table,
    targets,
    target_scores,
    counts,
    nans,
    batch,
    rows,
    half,
    margin,
    tiles,
    tiles_per_part,
    QUERIES: tl.constexpr,
):
    """exact_counts by distance: where the target of each query stands; the grid is [query tiles, parts].

    Args:
        targets, target_scores: int64, float32 [batch], the scores of distance_pairs.
        counts: int32 [batch, parts, COUNTS], written: other rows that are better, equal, and equal with a lower id.
        nans: int32 [batch, parts], written: 1 where a score is NaN.
    """
    first = tl.program_id(0) * QUERIES
    query = first + tl.arange(0, QUERIES)
    target = tl.load(targets + query, mask=query < batch, other=0)[:, None]
    target_score = tl.load(target_scores + query, mask=query < batch, other=0.0)[:, None]
    better = tl.zeros((QUERIES, PART), dtype=tl.int32)
    equal = tl.zeros((QUERIES, PART), dtype=tl.int32)
    lower = tl.zeros((QUERIES, PART), dtype=tl.int32)
    broken = tl.zeros((QUERIES, PART), dtype=tl.int32)
    start = tl.program_id(1) * tiles_per_part
    end = tl.minimum(start + tiles_per_part, tiles)
    for part in range(start * (TILE // PART), end * (TILE // PART)):
        row = tl.arange(0, PART) + part * PART
        scores = part_distances(queries, table, targets, first, row, batch, rows, 0, half, margin, QUERIES)
        other = (row < rows)[None, :] & (row[None, :] != target)
        better += (other & (scores > target_score)).to(tl.int32)
        equal += (other & (scores == target_score)).to(tl.int32)
        lower += (other & (scores == target_score) & (row[None, :] < target)).to(tl.int32)
        broken = broken | (scores != scores).to(tl.int32)
    place = query.to(tl.int64) * tl.num_programs(1) + tl.program_id(1)
    tl.store(counts + place * COUNTS, tl.sum(better, axis=1), mask=query < batch)
    tl.store(counts + place * COUNTS + 1, tl.sum(equal, axis=1), mask=query < batch)
    tl.store(counts + place * COUNTS + 2, tl.sum(lower, axis=1), mask=query < batch)
    tl.store(nans + place, tl.max(broken, axis=1), mask=query < batch)


@triton.jit
def distance_pairs(queries, table, ids, scores, batch, half, margin, PAIRS: tl.constexpr):
    """scores float32 [batch], written: of query i and row ids[i] (int64) of the table; programs take PAIRS each."""
    query = tl.program_id(0).to(tl.int64) * PAIRS + tl.arange(0, PAIRS)
    mine = tl.minimum(query, batch - 1)
    score = distances(queries, table, mine, tl.load(ids + mine), half, margin, PAIRS)
    tl.store(scores + query, score, mask=query < batch)


@triton.jit
def distance_known(
    queries,
    table,
    targets,
    target_scores,
    known_offsets,
    known,
    better,
    equal,
    equal_lower,
    half,
    margin,
    penalty,
    ROWS: tl.constexpr,
):
    """Takes other known answers off the counts and adds them with what the penalty leaves; one program a query.

    Args:
        known_offsets, known: int64, as in mmkg.h; the target may be among them and is passed over.
        better, equal, equal_lower: int64 [batch], read and written.
        penalty: at least 0; infinity leaves them out.
    """
    query = tl.program_id(0).to(tl.int64)
    target = tl.load(targets + query)
    target_score = tl.load(target_scores + query)
    at = tl.arange(0, ROWS)
    sums = tl.zeros((ROWS,), dtype=tl.int64)
    equal_sums = tl.zeros((ROWS,), dtype=tl.int64)
    lower_sums = tl.zeros((ROWS,), dtype=tl.int64)
    end = tl.load(known_offsets + query + 1)
    for start in range(tl.load(known_offsets + query), end, ROWS):
        row = tl.load(known + start + at, mask=start + at < end, other=0)
        other = (start + at < end) & (row != target)
        score = distances(queries, table, tl.zeros_like(row) + query, row, half, margin, ROWS)
        left = score - penalty
        sums += (other & (left > target_score)).to(tl.int64) - (other & (score > target_score)).to(tl.int64)
        same = (other & (left == target_score)).to(tl.int64) - (other & (score == target_score)).to(tl.int64)
        equal_sums += same
        lower_sums += tl.where(row < target, same, 0)
    tl.store(better + query, tl.load(better + query) + tl.sum(sums))
    tl.store(equal + query, tl.load(equal + query) + tl.sum(equal_sums))
    tl.store(equal_lower + query, tl.load(equal_lower + query) + tl.sum(lower_sums))


_VECTORS = {"queries": "*fp32", "table": "*fp32"}
_SCORE = {"half": "i32", "margin": "fp32"}
_TILES = {"tiles": "i32", "tiles_per_part": "i32"}
_LISTS = {"excluded_offsets": "*i64", "excluded": "*i64"}
_BINS = _VECTORS | {
    "candidates": "*i64",
    "bins": "*fp32",
    "nans": "*i32",
    "batch": "i32",
    "rows": "i32",
    "subset": "i32",
}
_SETTLE = _VECTORS | {
    "candidates": "*i64",
    "chosen": "*i32",
    "lengths": "*i32",
    **_LISTS,
    "keys": "*u64",
    "rows": "i32",
    "subset": "i32",
}
_TARGETS = _VECTORS | {"targets": "*i64", "target_scores": "*fp32"}
_COUNTS = _TARGETS | {"counts": "*i32", "nans": "*i32", "batch": "i32", "rows": "i32"}
_PAIR = _VECTORS | {"ids": "*i64", "scores": "*fp32", "batch": "i32"}
_KNOWN = _TARGETS | {"known_offsets": "*i64", "known": "*i64", "better": "*i64", "equal": "*i64", "equal_lower": "*i64"}
KERNELS = (
    # With eight warps it would spill for 8.0, with four for 8.6 and 8.9.
    *(
        KernelSpec("distance_bins", distance_bins, _BINS | _SCORE | _TILES, {"QUERIES": _QUERIES}, warps, 1, targets)
        for warps, targets in ((4, TARGETS[:1]), (8, TARGETS[1:]))
    ),
    KernelSpec("distance_settle", distance_settle, _SETTLE | _SCORE | {"most": "i32"}, {"ROWS": _PAIRS}, 4, 1),
    KernelSpec("distance_counts", distance_counts, _COUNTS | _SCORE | _TILES, {"QUERIES": _QUERIES}, 8, 1),
    KernelSpec("distance_pairs", distance_pairs, _PAIR | _SCORE, {"PAIRS": _PAIRS}, 4, 1),
    KernelSpec("distance_known", distance_known, _KNOWN | _SCORE | {"penalty": "fp32"}, {"ROWS": _PAIRS}, 4, 1),
)
