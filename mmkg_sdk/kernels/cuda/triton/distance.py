"""Exact top-k and ranks by the distance of complex vectors (MMKG_COMPLEX_DISTANCE of include/mmkg.h).

Queries are float32 [batch, 2 half], the table is float32 [rows, 2 half]: `half` real parts, then `half` imaginary ones.
Every score is the canonical one, bit for bit: a first pass in lower precision would gain nothing where square roots, and
not bytes or products, are what takes the time. So nothing has to be certified, either.

    top-k    distance_bins   the best score of every bin of 16 neighbouring rows: a 16th of a score matrix, no lists
             select_bins     (select.py) the k best bins of a query, and one more for each row that is left out for it
             distance_settle the rows of those bins again, as keys; rows that are left out are looked up here only
             best_keys       (select.py) the k best keys, best first
    ranks    distance_pairs  scores of the right answers
             distance_known  what the other known answers take off the counts, or add
             distance_ranks  counts rows that are better or equal

Why the best k + E bins hold the k best answers, if E rows are left out: bins are ordered by their best score, of equal
ones the lower bin first, which is the order of their best rows. Were an answer in a later bin, then k + E rows would
come before it, k of them not left out.

None of this has ever run on a GPU. It is tested in Triton's interpreter and compiled for every target.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .keys import is_listed, key_of, tree
from .specs import KernelSpec

# With 4 queries, the roots of a row take an H100 as long as the row takes its memory (calculated: 18 instructions a
# coordinate, 8 bytes), so one query costs no more than four, and more of them are bound by roots.
QUERIES, ROWS, BIN = 4, 64, 16
PAIRS = 128


@triton.jit
def _tile_scores(queries, table, query_rows, table_rows, half, margin, BQ: tl.constexpr, BN: tl.constexpr):
    """float32 [BQ, BN]: every query with every row. Rows int64 [BQ] and [BN]."""
    lane = tl.arange(0, 16)
    total = tl.zeros((BQ, BN, 16), dtype=tl.float32)
    query = queries + query_rows[:, None] * (2 * half)
    row = table + table_rows[:, None] * (2 * half)
    for start in range(0, half, 16):
        at = (start + lane)[None, :]
        inside = at < half  # zeros past the end add a root of zero
        re = tl.load(query + at, mask=inside, other=0.0)[:, None, :] - tl.load(row + at, mask=inside, other=0.0)[None]
        im = (
            tl.load(query + half + at, mask=inside, other=0.0)[:, None, :]
            - tl.load(row + half + at, mask=inside, other=0.0)[None]
        )
        total += tl.math.sqrt_rn(tl.fma(re, re, im * im))
    return tl.reshape((margin - tree(tl.reshape(total, (BQ * BN, 16)))) + 0.0, (BQ, BN))


@triton.jit
def _pair_scores(queries, table, query_rows, table_rows, half, margin, COUNT: tl.constexpr):
    """float32 [COUNT]: query i with row i. Rows int64 [COUNT]."""
    lane = tl.arange(0, 16)
    total = tl.zeros((COUNT, 16), dtype=tl.float32)
    query = queries + query_rows[:, None] * (2 * half)
    row = table + table_rows[:, None] * (2 * half)
    for start in range(0, half, 16):
        at = (start + lane)[None, :]
        inside = at < half
        re = tl.load(query + at, mask=inside, other=0.0) - tl.load(row + at, mask=inside, other=0.0)
        im = tl.load(query + half + at, mask=inside, other=0.0) - tl.load(row + half + at, mask=inside, other=0.0)
        total += tl.math.sqrt_rn(tl.fma(re, re, im * im))
    return (margin - tree(total)) + 0.0


@triton.jit
def _row_of(candidates, places, has_candidates):
    """The row of the table at a place among the candidates; the place itself where all rows are candidates."""
    chosen = tl.load(candidates + places, mask=(places >= 0) & (has_candidates != 0), other=0)
    return tl.where(has_candidates != 0, chosen, places)


@triton.jit
def distance_bins(
    queries,
    table,
    candidates,
    best,
    wrong,
    batch,
    count,
    half,
    margin,
    has_candidates,
    tiles,
    tiles_per_split,
    BQ: tl.constexpr,
    BN: tl.constexpr,
    BIN: tl.constexpr,
):
    """best float32 [batch, tiles * BN / BIN]: of each bin of BIN neighbouring candidates. Grid: query tiles, splits.

    Args:
        candidates: int64 [count], rows in ascending order; read if has_candidates.
        wrong: int32 [1], set to 1 if a score is NaN.
    """
    PER: tl.constexpr = BN // BIN
    query = tl.program_id(0) * BQ + tl.arange(0, BQ)
    query_rows = tl.minimum(query, batch - 1).to(tl.int64)
    first = tl.program_id(1) * tiles_per_split
    nan = tl.zeros((BQ, BN), dtype=tl.int32)
    for tile in range(first, tl.minimum(first + tiles_per_split, tiles)):
        place = tile.to(tl.int64) * BN + tl.arange(0, BN)
        # Places past the end take the last row again, whose score is put aside.
        rows = _row_of(candidates, tl.minimum(place, count - 1), has_candidates)
        score = _tile_scores(queries, table, query_rows, rows, half, margin, BQ, BN)
        nan = nan | (score != score).to(tl.int32)
        score = tl.where(place[None, :] < count, score, float("-inf"))
        top = tl.max(tl.reshape(score, (BQ, PER, BIN)), axis=2)
        at = query_rows[:, None] * (tiles * PER) + tile * PER + tl.arange(0, PER)[None, :]
        tl.store(best + at, top, mask=query[:, None] < batch)
    if tl.max(tl.max(nan, axis=1), axis=0) != 0:
        tl.store(wrong, 1)


@triton.jit
def distance_settle(
    queries,
    table,
    candidates,
    bins,
    bin_counts,
    excluded_offsets,
    excluded,
    keys,
    count,
    half,
    margin,
    has_candidates,
    most,
    steps,
    BIN: tl.constexpr,
    COUNT: tl.constexpr,
):
    """keys uint64 [batch, most * BIN] of the rows of the chosen bins; 0 is no answer. Grid: batch, parts of most * BIN.

    Args:
        bins: int32 [batch, most], in any order; bin_counts int32 [batch] of them.
        excluded_offsets, excluded: int64 [batch + 1] and rows, ascending for each query.
        steps: see is_listed.
    """
    query = tl.program_id(0).to(tl.int64)
    slot = tl.program_id(1) * COUNT + tl.arange(0, COUNT)
    live = slot // BIN < tl.load(bin_counts + query)
    chosen = tl.load(bins + query * most + slot // BIN, mask=live, other=0).to(tl.int64)
    place = chosen * BIN + slot % BIN
    live = live & (place < count)
    rows = _row_of(candidates, tl.where(live, place, 0), has_candidates)
    low, high = tl.load(excluded_offsets + query), tl.load(excluded_offsets + query + 1)
    live = live & (is_listed(rows, excluded, low, high, steps) == 0)
    score = _pair_scores(queries, table, tl.zeros_like(rows) + query, rows, half, margin, COUNT)
    live = live & (score > float("-inf"))
    key = key_of(score, rows)
    tl.store(keys + query * (most * BIN) + slot, tl.where(live, key, tl.zeros_like(key)), mask=slot < most * BIN)


@triton.jit
def distance_pairs(queries, table, ids, scores, batch, half, margin, COUNT: tl.constexpr):
    """scores float32 [batch] of query i with row ids[i], int64. Grid: parts of batch."""
    query = tl.program_id(0).to(tl.int64) * COUNT + tl.arange(0, COUNT)
    live = query < batch
    rows = tl.load(ids + query, mask=live, other=0)
    score = _pair_scores(queries, table, tl.where(live, query, 0), rows, half, margin, COUNT)
    tl.store(scores + query, score, mask=live)


@triton.jit
def distance_known(
    queries,
    table,
    targets,
    target_scores,
    known_offsets,
    known,
    counts,
    batch,
    half,
    margin,
    penalty,
    COUNT: tl.constexpr,
):
    """counts int64 [3, batch]: what `distance_ranks` then adds better, equal and equal lower rows to. Grid: batch.

    It counts every row with its own score, the target as equal to itself. So here the target is taken off, and each
    other known answer, which is then counted with its score less the penalty.
    """
    query = tl.program_id(0).to(tl.int64)
    target, target_score = tl.load(targets + query), tl.load(target_scores + query)
    low, high = tl.load(known_offsets + query), tl.load(known_offsets + query + 1)
    better = tl.zeros((COUNT,), dtype=tl.int64)
    equal, lower = tl.zeros_like(better), tl.zeros_like(better)
    for start in range(low, high, COUNT):
        place = start + tl.arange(0, COUNT)
        rows = tl.load(known + place, mask=place < high, other=0)
        other = (place < high) & (rows != target)
        score = _pair_scores(queries, table, tl.zeros_like(rows) + query, rows, half, margin, COUNT)
        left = score - penalty
        better += (other & (left > target_score)).to(tl.int64) - (other & (score > target_score)).to(tl.int64)
        change = (other & (left == target_score)).to(tl.int64) - (other & (score == target_score)).to(tl.int64)
        equal += change
        lower += tl.where(rows < target, change, 0)
    tl.store(counts + query, tl.sum(better))
    tl.store(counts + batch + query, tl.sum(equal) - 1)
    tl.store(counts + 2 * batch + query, tl.sum(lower))


@triton.jit
def distance_ranks(
    queries,
    table,
    targets,
    target_scores,
    counts,
    wrong,
    batch,
    count,
    half,
    margin,
    tiles,
    tiles_per_split,
    BQ: tl.constexpr,
    BN: tl.constexpr,
):
    """Adds to counts int64 [3, batch]: rows better than the target, equal, and equal with a lower id.

    Grid: query tiles, splits. Whole numbers add up to the same in any order. `wrong` as in distance_bins.
    """
    query = tl.program_id(0) * BQ + tl.arange(0, BQ)
    query_rows = tl.minimum(query, batch - 1).to(tl.int64)
    target, target_score = tl.load(targets + query_rows), tl.load(target_scores + query_rows)
    first = tl.program_id(1) * tiles_per_split
    nan = tl.zeros((BQ, BN), dtype=tl.int32)
    better, equal, lower = tl.zeros_like(nan), tl.zeros_like(nan), tl.zeros_like(nan)
    for tile in range(first, tl.minimum(first + tiles_per_split, tiles)):
        rows = tile.to(tl.int64) * BN + tl.arange(0, BN)
        score = _tile_scores(queries, table, query_rows, tl.minimum(rows, count - 1), half, margin, BQ, BN)
        nan = nan | (score != score).to(tl.int32)
        inside = rows[None, :] < count
        same = inside & (score == target_score[:, None])
        better += (inside & (score > target_score[:, None])).to(tl.int32)
        equal += same.to(tl.int32)
        lower += (same & (rows[None, :] < target[:, None])).to(tl.int32)
    here = query < batch
    tl.atomic_add(counts + query, tl.sum(better.to(tl.int64), axis=1), mask=here, sem="relaxed")
    tl.atomic_add(counts + batch + query, tl.sum(equal.to(tl.int64), axis=1), mask=here, sem="relaxed")
    tl.atomic_add(counts + 2 * batch + query, tl.sum(lower.to(tl.int64), axis=1), mask=here, sem="relaxed")
    if tl.max(tl.max(nan, axis=1), axis=0) != 0:
        tl.store(wrong, 1)


_VECTORS = {"queries": "*fp32", "table": "*fp32"}
_SIZES = {"half": "i32", "margin": "fp32"}
_TILES = {"tiles": "i32", "tiles_per_split": "i32"}

KERNELS = (
    KernelSpec(
        "distance_bins",
        distance_bins,
        _VECTORS
        | {"candidates": "*i64", "best": "*fp32", "wrong": "*i32", "batch": "i32", "count": "i64"}
        | _SIZES
        | {"has_candidates": "i32"}
        | _TILES,
        {"BQ": QUERIES, "BN": ROWS, "BIN": BIN},
        num_warps=4,
        num_stages=1,
    ),
    KernelSpec(
        "distance_settle",
        distance_settle,
        _VECTORS
        | {"candidates": "*i64", "bins": "*i32", "bin_counts": "*i32", "excluded_offsets": "*i64", "excluded": "*i64"}
        | {"keys": "*u64", "count": "i64"}
        | _SIZES
        | {"has_candidates": "i32", "most": "i64", "steps": "i32"},
        {"BIN": BIN, "COUNT": PAIRS},
        num_warps=4,
        num_stages=1,
    ),
    KernelSpec(
        "distance_pairs",
        distance_pairs,
        _VECTORS | {"ids": "*i64", "scores": "*fp32", "batch": "i64"} | _SIZES,
        {"COUNT": PAIRS},
        num_warps=4,
        num_stages=1,
    ),
    KernelSpec(
        "distance_known",
        distance_known,
        _VECTORS
        | {"targets": "*i64", "target_scores": "*fp32", "known_offsets": "*i64", "known": "*i64", "counts": "*i64"}
        | {"batch": "i64"}
        | _SIZES
        | {"penalty": "fp32"},
        {"COUNT": PAIRS},
        num_warps=4,
        num_stages=1,
    ),
    KernelSpec(
        "distance_ranks",
        distance_ranks,
        _VECTORS
        | {"targets": "*i64", "target_scores": "*fp32", "counts": "*i64", "wrong": "*i32"}
        | {"batch": "i32", "count": "i64"}
        | _SIZES
        | _TILES,
        {"BQ": QUERIES, "BN": ROWS},
        num_warps=4,
        num_stages=1,
    ),
)
