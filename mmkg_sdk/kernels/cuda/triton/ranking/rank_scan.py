"""First pass of rank mode: rows certainly better than the target are counted, those that may be are marked.

With `slack` of rounding.py a row is certainly better if its product of bfloat16 is above the target's canonical score
+ slack, and certainly not as good if it is below the score - slack. The rest are marked: a tile has four *words* of 32
rows, which are those of bins without their halves (scan.py), and one bit for each row. No lists, no atomics.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .canonical import bits_set
from .scan import TILE, load_queries, load_rows
from .scan_shapes import shapes

WORDS = tl.constexpr(4)  # of a tile


@triton.jit
def limits(target_scores, slack, query, batch):
    """Between which products of bfloat16 a row is uncertain; float32 [QUERIES] each."""
    score = tl.load(target_scores + query, mask=query < batch, other=0.0)
    excess = tl.load(slack + query, mask=query < batch, other=0.0)
    return score - excess, score + excess


@triton.jit
def count_and_mark(scores, low, high, QUERIES: tl.constexpr):
    """Rows certainly better, and marks of the uncertain; int32 [QUERIES, WORDS] each of float32 [QUERIES, TILE].

    Rows of a word are bits of one register from the start: two comparisons and a few additions a score.
    """
    pair, parity = tl.arange(0, TILE // 8)[None, :, None, None], tl.arange(0, 2)[None, None, None, :]
    bit = tl.full((1, TILE // 8, 1, 2), 1, tl.int32) << (pair * 2 + parity)
    scores = tl.reshape(scores, (QUERIES, TILE // 8, WORDS, 2))
    above = tl.sum(tl.sum(tl.where(scores > high[:, None, None, None], bit, 0), axis=3), axis=1)
    near = tl.sum(tl.sum(tl.where(scores >= low[:, None, None, None], bit, 0), axis=3), axis=1)
    return bits_set(above.to(tl.uint32, bitcast=True)), near & ~above


@triton.jit
def scan_ranks(
    queries,
    table,
    target_scores,
    slack,
    better,
    marks,
    batch,
    tiles,
    tiles_per_part,
    QUERIES: tl.constexpr,
    WIDTH: tl.constexpr,
    MAP: tl.constexpr,
):
    """Counts and marks of narrow tables; the grid is [query tiles, parts], as of scan_bins.

    Padding rows are counted and marked as the zeros that they are; what reads the result leaves them out.

    Args:
        queries: bfloat16 [batch rounded up to QUERIES, WIDTH].
        table: bfloat16 [tiles * TILE, WIDTH], a tensor map if MAP, else an address.
        target_scores, slack: float32 [batch].
        better: int32 [batch, parts * WORDS], written.
        marks: int32 [batch, tiles * WORDS], written.
    """
    first = tl.program_id(0) * QUERIES
    mine = load_queries(queries, first, 0, WIDTH, QUERIES, WIDTH)
    query = first + tl.arange(0, QUERIES)
    low, high = limits(target_scores, slack, query, batch)
    start = tl.program_id(1) * tiles_per_part
    place = query.to(tl.int64)[:, None]
    within = tl.arange(0, WORDS)[None, :]
    count = tl.zeros((QUERIES, WORDS), dtype=tl.int32)
    for tile in tl.range(start, tl.minimum(start + tiles_per_part, tiles)):
        scores = tl.dot(mine, load_rows(table, tile, 0, WIDTH, WIDTH, MAP).T)
        above, mark = count_and_mark(scores, low, high, QUERIES)
        count += above
        tl.store(marks + place * (tiles * WORDS) + tile * WORDS + within, mark, mask=query[:, None] < batch)
    part = tl.num_programs(1) * WORDS
    tl.store(better + place * part + tl.program_id(1) * WORDS + within, count, mask=query[:, None] < batch)


@triton.jit
def scan_ranks_wide(
    queries,
    table,
    target_scores,
    slack,
    better,
    marks,
    batch,
    chunks,
    tiles,
    tiles_per_part,
    QUERIES: tl.constexpr,
    CHUNK: tl.constexpr,
    MAP: tl.constexpr,
):
    """scan_ranks for any width that is a multiple of CHUNK: queries and rows pass in pieces of CHUNK coordinates.

    width = chunks * CHUNK.
    """
    width = chunks * CHUNK
    first = tl.program_id(0) * QUERIES
    query = first + tl.arange(0, QUERIES)
    low, high = limits(target_scores, slack, query, batch)
    start = tl.program_id(1) * tiles_per_part
    place = query.to(tl.int64)[:, None]
    within = tl.arange(0, WORDS)[None, :]
    count = tl.zeros((QUERIES, WORDS), dtype=tl.int32)
    for tile in range(start, tl.minimum(start + tiles_per_part, tiles)):
        scores = tl.zeros((QUERIES, TILE), dtype=tl.float32)
        for at in tl.range(0, width, CHUNK):
            mine = load_queries(queries, first, at, width, QUERIES, CHUNK)
            scores = tl.dot(mine, load_rows(table, tile, at, width, CHUNK, MAP).T, scores)
        above, mark = count_and_mark(scores, low, high, QUERIES)
        count += above
        tl.store(marks + place * (tiles * WORDS) + tile * WORDS + within, mark, mask=query[:, None] < batch)
    part = tl.num_programs(1) * WORDS
    tl.store(better + place * part + tl.program_id(1) * WORDS + within, count, mask=query[:, None] < batch)


KERNELS = tuple(
    shapes(
        "scan_ranks",
        scan_ranks,
        scan_ranks_wide,
        {
            "queries": "*bf16",
            "target_scores": "*fp32",
            "slack": "*fp32",
            "better": "*i32",
            "marks": "*i32",
            "batch": "i32",
            "tiles": "i32",
            "tiles_per_part": "i32",
        },
    )
)
