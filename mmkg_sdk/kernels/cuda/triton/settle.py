"""The answers of top-k: rows of the best bins with their canonical scores, and whether they are certain.

A row of no chosen bin scores at most `bound + slack` (rounding.py). So do rows of chosen bins whose own product of
bfloat16 is below the bound: only the others are read in float32, one in ten or so, which halves what is read. The k
best settled rows are the answer if the k-th of them scores more than that, or if there is no bound.

With bins of canonical scores (exact.py) the answer is certain without that, if as many bins were chosen as were wanted,
k + 7 and one for each excluded row. Be v the largest score that is left. Each chosen bin holds a row of at least v. Of
bins with the maximum v those of lower places were chosen, and of two bins in different tiles the lower place has the
lower rows. So a row left out is before a chosen bin's row of equal score in seven bins at most, those of its own tile,
and k rows that are not excluded are before it.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .canonical import is_listed, key_of, place_of, score_of, scores_of_rows
from .scan import BIN_ROWS, BINS, row_of_bin
from .selection import KEYS, load_keys, threshold_of
from .specs import KernelSpec

# Certificates.
UNCERTAIN = tl.constexpr(0)
CERTAIN = tl.constexpr(1)
NOT_A_NUMBER = tl.constexpr(2)


@triton.jit
def products_of_rows(query, table, rows, live, pieces, ROWS: tl.constexpr):
    """Products of bfloat16 of one query and some rows, float32 [ROWS]; query [64 pieces], table [any, 64 pieces]."""
    at = tl.arange(0, 64)
    sums = tl.zeros((ROWS, 64), dtype=tl.float32)
    start = table + rows[:, None] * (pieces * 64) + at[None, :]
    for piece in range(pieces):
        mine = tl.load(query + piece * 64 + at).to(tl.float32)
        theirs = tl.load(start + piece * 64, mask=live[:, None], other=0.0).to(tl.float32)
        sums += mine[None, :] * theirs
    return tl.sum(sums, axis=1)


@triton.jit
def settle_rows(
    rounded_queries,
    rounded_table,
    bounds,
    pieces,
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
    chunks,
    most,
    ROWS: tl.constexpr,
):
    """Keys of the rows of the chosen bins; the grid is [batch, any number], whose programs share them.

    Args:
        rounded_queries, rounded_table, bounds: bfloat16 [any, 64 pieces] each, float32 [batch]. pieces is 0 where bins
            are of canonical scores, and they are not read.
        queries: float32 [batch, 16 chunks].
        table: float32 [any, 16 chunks].
        candidates: int64 [rows], ascending: what rows of the scan are in the table; read if subset is 1.
        chosen, lengths: int32 [batch, most] bins and [batch], of select_best.
        excluded_offsets, excluded: int64, as in mmkg.h.
        keys: uint64 [batch, most * BIN_ROWS], written for the chosen bins: 0 for rows that are none, excluded, below
            the bound or of score -inf.
    """
    query = tl.program_id(0).to(tl.int64)
    low = tl.load(excluded_offsets + query)
    high = tl.load(excluded_offsets + query + 1)
    total = tl.load(lengths + query) * BIN_ROWS
    bound = tl.load(bounds + query, mask=pieces > 0, other=float("-inf"))
    for start in range(tl.program_id(1) * ROWS, total, tl.num_programs(1) * ROWS):
        place = start + tl.arange(0, ROWS)
        bin_ = tl.load(chosen + query * most + place // BIN_ROWS, mask=place < total, other=0)
        row = row_of_bin(bin_, place % BIN_ROWS, BINS)
        live = (place < total) & (row < rows)
        row = tl.where(live, row, 0)
        ids = row
        if subset != 0:
            ids = tl.load(candidates + row, mask=live, other=0)
        live = live & (is_listed(ids, excluded, low, high) == 0)
        if bound > float("-inf"):
            mine = rounded_queries + query * pieces * 64
            live = live & (products_of_rows(mine, rounded_table, ids, live, pieces, ROWS) >= bound)
        score = scores_of_rows(queries + query * chunks * 16, table, ids, live, chunks, ROWS)
        key = tl.where(live & (score > float("-inf")), key_of(score, ids), 0)
        tl.store(keys + query * (most * BIN_ROWS) + place, key.to(tl.uint64), mask=place < total)


@triton.jit
def finish_top_k(
    keys,
    best,
    excluded_offsets,
    lengths,
    bounds,
    slack,
    nans,
    ids,
    scores,
    counts,
    certificates,
    wanted,
    most,
    k,
    exact,
    parts,
    K: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """The k best keys in order, and whether they are certain; one program a query.

    Args:
        keys: uint64 [batch, most * BIN_ROWS], of settle_rows.
        best: uint64 [batch, K], scratch.
        excluded_offsets, lengths, bounds, wanted, most: as select_best had and gave them.
        slack: float32 [batch]; read if exact is 0.
        nans: int32 [batch, parts], from exact_bins; parts is 0 with bins of scan_bins.
        ids, scores: int64, float32 [batch, k], written: counts[i] of them, the rest is left as it was.
        counts: int64 [batch], written.
        certificates: int32 [batch], written: CERTAIN; UNCERTAIN: the answer is to be made again with more bins, or with
            exact_bins; NOT_A_NUMBER: a score is NaN.
        k: at most K, a power of 2.
        exact: 1 if the bins are of exact_bins.
    """
    query = tl.program_id(0).to(tl.int64)
    keys += query * (most * BIN_ROWS)
    length = tl.load(lengths + query) * BIN_ROWS
    threshold, _ = threshold_of(keys, keys, length, length, k, KEYS, BLOCK)
    taken = 0
    for start in range(0, length, BLOCK):
        some = load_keys(keys, keys, start, length, length, KEYS, BLOCK)
        kept = some >= threshold
        at = taken + tl.cumsum(kept.to(tl.int32)) - 1
        tl.store(best + query * K + at, some, mask=kept)
        taken += tl.sum(kept.to(tl.int32))
    tl.debug_barrier()  # what other threads of this program wrote is read now
    place = tl.arange(0, K)
    order = tl.sort(tl.load(best + query * K + place, mask=place < taken, other=0), descending=True)
    tl.store(ids + query * k + place, place_of(order), mask=place < taken)
    tl.store(scores + query * k + place, score_of(order), mask=place < taken)
    tl.store(counts + query, tl.cast(taken, tl.int64))

    bound = tl.load(bounds + query)
    excess = tl.load(slack + query, mask=exact == 0, other=0.0)
    last = tl.min(tl.where(place < taken, score_of(order), float("inf")))
    certain = (bound == float("-inf")) | ((taken == k) & (last > bound + excess))
    asked = wanted + tl.load(excluded_offsets + query + 1) - tl.load(excluded_offsets + query)
    certain = (certain & (excess < float("inf"))) | ((exact != 0) & (asked <= most))
    broken = 0
    for part in range(parts):
        broken = broken | tl.load(nans + query * parts + part)
    certificate = tl.where(broken != 0, NOT_A_NUMBER, tl.where(certain, CERTAIN, UNCERTAIN))
    tl.store(certificates + query, certificate.to(tl.int32))


_SETTLE = {
    "rounded_queries": "*bf16",
    "rounded_table": "*bf16",
    "bounds": "*fp32",
    "pieces": "i32",
    "queries": "*fp32",
    "table": "*fp32",
    "candidates": "*i64",
    "chosen": "*i32",
    "lengths": "*i32",
    "excluded_offsets": "*i64",
    "excluded": "*i64",
    "keys": "*u64",
    "rows": "i32",
    "subset": "i32",
    "chunks": "i32",
    "most": "i32",
}
_FINISH = {
    "keys": "*u64",
    "best": "*u64",
    "excluded_offsets": "*i64",
    "lengths": "*i32",
    "bounds": "*fp32",
    "slack": "*fp32",
    "nans": "*i32",
    "ids": "*i64",
    "scores": "*fp32",
    "counts": "*i64",
    "certificates": "*i32",
    "wanted": "i32",
    "most": "i32",
    "k": "i32",
    "exact": "i32",
    "parts": "i32",
}
KERNELS = (
    KernelSpec("settle_rows", settle_rows, _SETTLE, {"ROWS": 64}, num_warps=4, num_stages=2),
    *(
        KernelSpec(f"finish_top_{k}", finish_top_k, _FINISH, {"K": k, "BLOCK": 1024}, num_warps=warps, num_stages=1)
        for k, warps in ((16, 4), (128, 4), (1024, 16))
    ),
)
