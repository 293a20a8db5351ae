"""What scan.md asks of a launcher, step by step, on the CPU: kernels run in Triton's interpreter.

It is written from scan.md and shares nothing with launch/ranking/, so that each can be held against the CPU kernels.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from triton.tools.tensor_descriptor import TensorDescriptor

from mmkg_sdk.kernels.cuda.triton.ranking import exact, rank_scan, rank_settle, rounding, scan, selection, settle
from mmkg_sdk.ranking.known_triples import AnswerLists
from tests.kernels.references.canonical import answer_lists

TILE, BINS, BIN_ROWS, GROUP, WORDS = 128, 8, 16, 32, 4
LIMIT, ROOM = 4096, 64
# Rows and width of tables at the edges of tiles, and how they are read (`narrow` and `tensor_map` of a Table): every
# pair of values of two of them.
EDGES = [
    *((rows, width, *how) for rows, width in ((1, 16), (129, 128)) for how in ((True, False), (False, True))),
    *((rows, width, *how) for rows, width in ((127, 40), (311, 3)) for how in ((True, True), (False, False))),
]
NOWHERE = torch.zeros(1, dtype=torch.int64)


@dataclass
class Table:
    """An open table. `narrow`: with the kernel for its width. `tensor_map`: as from compute capability 9.0 on."""

    array: NDArray[np.float32]
    narrow: bool = True
    tensor_map: bool = False
    queries: int = 16  # of a program
    parts: int = 2
    passes: list[str] = field(default_factory=list)  # what each answer took
    settled: int = 0  # rows that the last pass scored canonically

    def __post_init__(self) -> None:
        self.rows, width = self.array.shape
        self.chunks = ceil(width, 16)
        self.tiles = ceil(self.rows, TILE)
        self.padded = next((w for w in (64, 128, 256) if w >= width), ceil(width, 64) * 64)
        self.table32 = self.chunked(self.array)
        self.table16 = torch.full((self.tiles * TILE, self.padded), torch.nan, dtype=torch.bfloat16)
        largest = torch.full((8 * self.tiles, 2), torch.nan)
        rounding.round_table[(8 * self.tiles,)](
            self.table32, self.table16, largest, self.rows, self.chunks * 16, self.padded, ROWS=16, CHUNK=64
        )
        self.size, self.rest = largest.amax(0).tolist()

    def chunked(self, array: NDArray[np.float32]) -> torch.Tensor:
        out = torch.zeros(len(array), self.chunks * 16)
        out[:, : array.shape[1]] = torch.tensor(array)
        return out

    def rounded(self, queries: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        padded = ceil(len(queries), self.queries) * self.queries
        short = torch.full((padded, self.padded), torch.nan, dtype=torch.bfloat16)
        slack = torch.full((len(queries),), torch.nan)
        rounding.round_queries[(padded // 16,)](
            queries,
            short,
            slack,
            len(queries),
            self.chunks * 16,
            self.padded,
            float(self.size),
            float(self.rest),
            ROWS=16,
            CHUNK=256,
        )
        return short, slack

    def scan(self, narrow: Any, wide: Any, queries: torch.Tensor, outputs: list[torch.Tensor], batch: int) -> None:
        width = self.padded if self.narrow else 64
        table: Any = self.table16
        if self.tensor_map:
            table = TensorDescriptor.from_tensor(table, [TILE, width])
        parts = ceil(self.tiles, self.parts)
        grid, last = (ceil(batch, self.queries), self.parts), (self.tiles, parts)
        constants = {"QUERIES": self.queries, "MAP": self.tensor_map}
        if self.narrow:
            narrow[grid](queries, table, *outputs, batch, *last, WIDTH=width, **constants)
        else:
            wide[grid](queries, table, *outputs, batch, self.padded // 64, *last, CHUNK=64, **constants)


def top_k(
    table: Table,
    queries: NDArray[np.float32],
    k: int,
    excluded: AnswerLists | None = None,
    candidates: NDArray[np.int64] | None = None,
    widen: bool = True,
) -> tuple[list[NDArray[np.int64]], list[NDArray[np.float32]], NDArray[np.int32]]:
    """Ids, scores of each query, and certificates; uncertain answers are made again by the exact pass if widen."""
    queries32, offsets, listed = table.chunked(queries), *lists(excluded, len(queries))
    batch = len(queries)
    rows = table.rows if candidates is None else len(candidates)
    k = max(1, min(k, rows))
    exactly = candidates is not None
    short, slack, nans, parts = torch.zeros(1).bfloat16(), torch.full((batch,), torch.nan), NOWHERE.int(), 0
    tiles = ceil(rows, TILE)
    bins = torch.full((batch, tiles * BINS), torch.nan)
    subset = torch.tensor(candidates if exactly else [0])
    if exactly:
        nans, parts = exact_bins(table, queries32, subset, bins, rows, exactly)
    else:
        short, slack = table.rounded(queries32)
        table.scan(scan.scan_bins, scan.scan_bins_wide, short, [bins], batch)
    found = finish(table, short, queries32, k, offsets, listed, bins, slack, nans, parts, subset, rows, exactly)
    table.passes.append("exact" if exactly else "bfloat16")
    again = np.flatnonzero(found[2] == 0)
    if widen and len(again):
        assert not exactly
        some = answer_lists([listed[offsets[i] : offsets[i + 1]].tolist() for i in again]) if excluded else None
        everything = np.arange(rows)
        ids, scores, certificates = top_k(table, queries[again], k, some, everything)
        for place, i in enumerate(again):
            found[0][i], found[1][i], found[2][i] = ids[place], scores[place], certificates[place]
    return found


def exact_bins(
    table: Table, queries: torch.Tensor, subset: torch.Tensor, bins: torch.Tensor, rows: int, use: bool
) -> tuple[torch.Tensor, int]:
    nans = torch.full((len(queries), table.parts), -1, dtype=torch.int32)
    tiles = ceil(rows, TILE)
    exact.exact_bins[(ceil(len(queries), 8), table.parts)](
        queries,
        table.table32,
        subset,
        bins,
        nans,
        len(queries),
        rows,
        int(use),
        table.chunks,
        tiles,
        ceil(tiles, table.parts),
        QUERIES=8,
    )
    return nans, table.parts


def finish(
    table: Table,
    short: torch.Tensor,
    queries: torch.Tensor,
    k: int,
    offsets: torch.Tensor,
    listed: torch.Tensor,
    bins: torch.Tensor,
    slack: torch.Tensor,
    nans: torch.Tensor,
    parts: int,
    subset: torch.Tensor,
    rows: int,
    exactly: bool,
) -> tuple[list[NDArray[np.int64]], list[NDArray[np.float32]], NDArray[np.int32]]:
    """Steps 2 to 6."""
    batch, n = bins.shape
    wanted, longest = k + 8, int((offsets[1:] - offsets[:-1]).max())
    limit = n if exactly else LIMIT
    most = min(n, max(wanted, min(wanted + longest, limit)) + max(ROOM, k))
    chosen, lengths, bounds = select(bins, offsets, slack, wanted, most, exactly)
    keys = torch.full((batch, BIN_ROWS * most), -1, dtype=torch.int64).view(torch.uint64)
    settle.settle_rows[(batch, 2)](
        short,
        table.table16,
        bounds,
        0 if exactly else table.padded // 64,
        queries,
        table.table32,
        subset,
        chosen,
        lengths,
        offsets,
        listed,
        keys,
        rows,
        int(exactly),
        table.chunks,
        most,
        ROWS=64,
    )
    of_chosen = np.arange(BIN_ROWS * most) < BIN_ROWS * lengths.numpy()[:, None]
    table.settled = int(np.count_nonzero(keys.numpy()[of_chosen]))
    room = next(size for size in (16, 128, 1024) if size >= k)
    ids, scores = torch.full((batch, k), -7), torch.full((batch, k), torch.nan)
    counts, certificates = torch.full((batch,), -1), torch.full((batch,), -1, dtype=torch.int32)
    best = torch.zeros(batch, room, dtype=torch.uint64)
    settle.finish_top_k[(batch,)](
        keys,
        best,
        offsets,
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
        int(exactly),
        parts,
        K=room,
        BLOCK=1024,
    )
    each = [ids[i, : counts[i]].numpy() for i in range(batch)]
    return each, [scores[i, : counts[i]].numpy() for i in range(batch)], certificates.numpy()


def select(
    bins: torch.Tensor,
    offsets: torch.Tensor,
    slack: torch.Tensor,
    wanted: int,
    most: int,
    exactly: bool,
    direct: int = 4096,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Steps 2 to 4: chosen, lengths and bounds; with groups if there are more than `direct` bins."""
    batch, n = bins.shape
    lengths, bounds = torch.full((batch,), -1, dtype=torch.int32), torch.full((batch,), torch.nan)

    def best(values: torch.Tensor, groups: torch.Tensor, kind: Any) -> torch.Tensor:
        chosen = torch.full((batch, most), -9, dtype=torch.int32)
        numbers = (values.shape[1], wanted, most, int(exactly))
        arguments = (values, groups, offsets, slack, chosen, lengths, bounds, *numbers)
        selection.select_best[(batch,)](*arguments, KIND=kind, BLOCK=256)
        return chosen

    if n <= direct:
        return best(bins, NOWHERE.int(), selection.VALUES), lengths, bounds
    groups = torch.full((batch, ceil(n, GROUP)), torch.nan)
    selection.group_maxima[(batch, ceil(groups.shape[1], 128))](bins, groups, n, groups.shape[1], BLOCK=128)
    return best(bins, best(groups, NOWHERE.int(), selection.VALUES), selection.GROUPED), lengths, bounds


def ranks(
    table: Table,
    queries: NDArray[np.float32],
    targets: NDArray[np.int64],
    known: AnswerLists | None,
    penalty: float,
    capacity: int = 4096,
    exactly: bool = False,
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """better, equal, equal_lower int64 [3, batch], and certificates."""
    batch = len(queries)
    queries32, offsets, listed = table.chunked(queries), *lists(known, batch)
    right = torch.tensor(targets)
    scores = torch.full((batch,), torch.nan)
    exact.pair_scores[(ceil(batch, 64),)](queries32, table.table32, right, scores, batch, table.chunks, PAIRS=64)
    slack, sure, lengths, nans = torch.zeros(1), NOWHERE.int(), NOWHERE.int(), NOWHERE.int()
    parts, programs = table.parts, table.parts
    counts = torch.full((batch, parts, 3), -1, dtype=torch.int32)
    if exactly:
        nans = torch.full((batch, parts), -1, dtype=torch.int32)
        exact.exact_counts[(ceil(batch, 8), parts)](
            queries32,
            table.table32,
            right,
            scores,
            counts,
            nans,
            batch,
            table.rows,
            table.chunks,
            table.tiles,
            ceil(table.tiles, parts),
            QUERIES=8,
        )
    else:
        short, slack = table.rounded(queries32)
        sure = torch.full((batch, WORDS * parts), -1, dtype=torch.int32)
        marks = torch.full((batch, WORDS * table.tiles), -1, dtype=torch.int32)
        table.scan(rank_scan.scan_ranks, rank_scan.scan_ranks_wide, short, [scores, slack, sure, marks], batch)
        marked = torch.full((batch, capacity), -1, dtype=torch.int32)
        lengths = torch.full((batch,), -1, dtype=torch.int32)
        rank_settle.list_marked[(batch,)](marks, marked, lengths, WORDS * table.tiles, capacity, BLOCK=16)
        rank_settle.settle_marked[(batch, programs)](
            queries32,
            table.table32,
            right,
            scores,
            marked,
            lengths,
            counts,
            table.rows,
            table.chunks,
            capacity,
            ROWS=64,
        )
    found = torch.full((3, batch), -1)
    certificates = torch.full((batch,), -1, dtype=torch.int32)
    rank_settle.finish_ranks[(batch,)](
        queries32,
        table.table32,
        right,
        scores,
        slack,
        sure,
        lengths,
        counts,
        nans,
        offsets,
        listed,
        *found,
        certificates,
        table.chunks,
        TILE * table.tiles - table.rows,
        WORDS * parts,
        programs,
        capacity,
        int(exactly),
        float(penalty),
        ROWS=64,
    )
    return found.numpy(), certificates.numpy()


def lists(some: AnswerLists | None, batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Offsets and ids; of none, zeros and any address."""
    if some is None:
        return torch.zeros(batch + 1, dtype=torch.int64), NOWHERE
    ids = torch.tensor(some.ids) if len(some.ids) else NOWHERE
    return torch.tensor(some.offsets), ids


def ceil(a: int, b: int) -> int:
    """a divided by b, rounded up."""
    return -(-a // b)
