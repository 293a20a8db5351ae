"""Second pass of rank mode: marked rows are listed and scored canonically, known answers set aside, counts summed."""

from __future__ import annotations

import triton
import triton.language as tl

from ..specs import KernelSpec
from .canonical import bits_set, scores_of_rows
from .exact import COUNTS
from .rank_scan import WORDS
from .scan import row_of_bin
from .settle import CERTAIN, NOT_A_NUMBER, UNCERTAIN


@triton.jit
def list_marked(marks, listed, lengths, num_words, capacity, BLOCK: tl.constexpr):
    """The marked rows of each query in the order of their words, by prefix sums; one program a query.

    Args:
        marks: int32 [batch, num_words], from scan_ranks.
        listed: int32 [batch, capacity], written up to the number of marked rows, or until it is full.
        lengths: int32 [batch], written: the number of marked rows, which may be above capacity.
    """
    query = tl.program_id(0).to(tl.int64)
    taken = 0
    for start in range(0, num_words, BLOCK):
        word = start + tl.arange(0, BLOCK)
        left = tl.load(marks + query * num_words + word, mask=word < num_words, other=0).to(tl.uint32, bitcast=True)
        if tl.max(left) > 0:
            count = bits_set(left)
            at = taken + tl.cumsum(count) - count
            taken += tl.sum(count)
            while tl.max(left) > 0:
                lowest = left & (~left + 1)
                # The exponent of a power of 2 that is made a float32.
                place = (lowest.to(tl.float32).to(tl.int32, bitcast=True) >> 23) - 127
                row = row_of_bin(word, place, WORDS).to(tl.int32)
                tl.store(listed + query * capacity + at, row, mask=(left > 0) & (at < capacity))
                at += 1
                left = left ^ lowest
    tl.store(lengths + query, taken)


@triton.jit
def settle_marked(
    queries,
    table,
    targets,
    target_scores,
    listed,
    lengths,
    counts,
    rows,
    chunks,
    capacity,
    ROWS: tl.constexpr,
):
    """Counts of the listed rows by their canonical scores; the grid is [batch, parts], whose programs share them.

    Args:
        queries: float32 [batch, 16 chunks].
        table: float32 [rows, 16 chunks].
        targets, target_scores: int64, float32 [batch].
        listed, lengths: as list_marked gave them.
        counts: int32 [batch, parts, COUNTS], written: what is counted in exact_counts.
    """
    query = tl.program_id(0).to(tl.int64)
    target = tl.load(targets + query)
    target_score = tl.load(target_scores + query)
    length = tl.minimum(tl.load(lengths + query), capacity)
    better = tl.zeros((ROWS,), dtype=tl.int32)
    equal = tl.zeros((ROWS,), dtype=tl.int32)
    lower = tl.zeros((ROWS,), dtype=tl.int32)
    for start in range(tl.program_id(1) * ROWS, length, tl.num_programs(1) * ROWS):
        at = start + tl.arange(0, ROWS)
        row = tl.load(listed + query * capacity + at, mask=at < length, other=0).to(tl.int64)
        live = (at < length) & (row < rows) & (row != target)
        score = scores_of_rows(queries + query * chunks * 16, table, row, live, chunks, ROWS)
        better += (live & (score > target_score)).to(tl.int32)
        equal += (live & (score == target_score)).to(tl.int32)
        lower += (live & (score == target_score) & (row < target)).to(tl.int32)
    out = counts + (query * tl.num_programs(1) + tl.program_id(1)) * COUNTS
    tl.store(out, tl.sum(better))
    tl.store(out + 1, tl.sum(equal))
    tl.store(out + 2, tl.sum(lower))


@triton.jit
def finish_ranks(
    queries,
    table,
    targets,
    target_scores,
    slack,
    sure,
    lengths,
    counts,
    nans,
    known_offsets,
    known,
    better,
    equal,
    equal_lower,
    certificates,
    chunks,
    padding,
    sure_counts,
    parts,
    capacity,
    exact,
    penalty,
    ROWS: tl.constexpr,
):
    """Sums of all counts, less those of other known answers, which count with what the penalty leaves of their score.

    One program a query.

    Args:
        sure: int32 [batch, sure_counts], `better` of scan_ranks; slack, lengths: as there. None is read if exact is 1.
        counts: int32 [batch, parts, COUNTS], of settle_marked, or of exact_counts if exact is 1.
        nans: int32 [batch, parts], of exact_counts; read if exact is 1.
        known_offsets, known: int64, as in mmkg.h.
        better, equal, equal_lower: int64 [batch], written as mmkg_ranks gives them.
        certificates: int32 [batch], written: CERTAIN; UNCERTAIN: more rows were marked than listed, or the slack is
            infinite, so the query is to be counted with exact_counts; NOT_A_NUMBER: a score is NaN.
        padding: rows of the last tile that are none.
        penalty: of another known answer, at least 0; infinity leaves it out.
    """
    query = tl.program_id(0).to(tl.int64)
    target = tl.load(targets + query)
    target_score = tl.load(target_scores + query)
    at = tl.arange(0, ROWS)
    sums = tl.zeros((ROWS,), dtype=tl.int64)
    equal_sums = tl.zeros((ROWS,), dtype=tl.int64)
    lower_sums = tl.zeros((ROWS,), dtype=tl.int64)
    broken = tl.zeros((ROWS,), dtype=tl.int32)
    for start in range(0, parts, ROWS):
        part = start + at
        out = counts + (query * parts + part) * COUNTS
        sums += tl.load(out, mask=part < parts, other=0)
        equal_sums += tl.load(out + 1, mask=part < parts, other=0)
        lower_sums += tl.load(out + 2, mask=part < parts, other=0)
        if exact != 0:
            broken = broken | tl.load(nans + query * parts + part, mask=part < parts, other=0)
    certain = tl.full((), 1, tl.int1)
    unreal = 0
    if exact == 0:
        for start in range(0, sure_counts, ROWS):
            sums += tl.load(sure + query * sure_counts + start + at, mask=start + at < sure_counts, other=0)
        excess = tl.load(slack + query)
        # scan_ranks saw padding rows as rows that score 0.
        unreal = tl.where(target_score + excess < 0, padding, 0)
        certain = (tl.load(lengths + query) <= capacity) & (excess < float("inf"))

    end = tl.load(known_offsets + query + 1)
    for start in range(tl.load(known_offsets + query), end, ROWS):
        row = tl.load(known + start + at, mask=start + at < end, other=0)
        other = (start + at < end) & (row != target)
        score = scores_of_rows(queries + query * chunks * 16, table, row, other, chunks, ROWS)
        left = score - penalty
        sums += (other & (left > target_score)).to(tl.int64) - (other & (score > target_score)).to(tl.int64)
        same = (other & (left == target_score)).to(tl.int64) - (other & (score == target_score)).to(tl.int64)
        equal_sums += same
        lower_sums += tl.where(row < target, same, 0)
    tl.store(better + query, tl.sum(sums) - unreal)
    tl.store(equal + query, tl.sum(equal_sums))
    tl.store(equal_lower + query, tl.sum(lower_sums))
    sure_of_it = tl.where(certain, CERTAIN, UNCERTAIN)
    tl.store(certificates + query, tl.where(tl.max(broken) != 0, NOT_A_NUMBER, sure_of_it).to(tl.int32))


_LIST = {"marks": "*i32", "listed": "*i32", "lengths": "*i32", "num_words": "i32", "capacity": "i32"}
_SETTLE = {
    "queries": "*fp32",
    "table": "*fp32",
    "targets": "*i64",
    "target_scores": "*fp32",
    "listed": "*i32",
    "lengths": "*i32",
    "counts": "*i32",
    "rows": "i32",
    "chunks": "i32",
    "capacity": "i32",
}
_FINISH = {
    "queries": "*fp32",
    "table": "*fp32",
    "targets": "*i64",
    "target_scores": "*fp32",
    "slack": "*fp32",
    "sure": "*i32",
    "lengths": "*i32",
    "counts": "*i32",
    "nans": "*i32",
    "known_offsets": "*i64",
    "known": "*i64",
    "better": "*i64",
    "equal": "*i64",
    "equal_lower": "*i64",
    "certificates": "*i32",
    "chunks": "i32",
    "padding": "i32",
    "sure_counts": "i32",
    "parts": "i32",
    "capacity": "i32",
    "exact": "i32",
    "penalty": "fp32",
}
KERNELS = (
    KernelSpec("list_marked", list_marked, _LIST, {"BLOCK": 1024}, num_warps=4, num_stages=1),
    KernelSpec("settle_marked", settle_marked, _SETTLE, {"ROWS": 64}, num_warps=8, num_stages=2),
    KernelSpec("finish_ranks", finish_ranks, _FINISH, {"ROWS": 64}, num_warps=8, num_stages=2),
)
