"""Distances as launch/scan.cpp asks for them, step by step, on the CPU: kernels run in Triton's interpreter."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from mmkg_sdk.kernels.cuda.triton import distance, rank_settle, settle
from mmkg_sdk.ranking.known_triples import AnswerLists

from .scan_steps import BIN_ROWS, BINS, NOWHERE, TILE, ceil, lists, select

QUERIES, PARTS = 8, 2


def top_k(
    table: NDArray[np.float32],
    margin: float,
    queries: NDArray[np.float32],
    k: int,
    excluded: AnswerLists | None = None,
    candidates: NDArray[np.int64] | None = None,
) -> tuple[list[NDArray[np.int64]], list[NDArray[np.float32]], NDArray[np.int32]]:
    """Ids and scores of each query, and certificates."""
    batch, half = len(queries), table.shape[1] // 2
    rows = len(table) if candidates is None else len(candidates)
    subset = torch.tensor([0] if candidates is None else candidates)
    scanned = (torch.tensor(queries), torch.tensor(table), subset)
    tiles, k = ceil(rows, TILE), max(1, min(k, rows))
    bins = torch.full((batch, tiles * BINS), torch.nan)
    nans = torch.full((batch, PARTS), -1, dtype=torch.int32)
    which = (rows, int(candidates is not None), half, margin)
    distance.distance_bins[(ceil(batch, QUERIES), PARTS)](
        *scanned, bins, nans, batch, *which, tiles, ceil(tiles, PARTS), QUERIES=QUERIES
    )
    offsets, listed = lists(excluded, batch)
    wanted = k + 12
    most = min(tiles * BINS, wanted + int((offsets[1:] - offsets[:-1]).max()))
    bounds = torch.full((batch,), torch.nan)
    chosen = select(bins, offsets, bounds, wanted, most)
    keys = torch.full((batch, BIN_ROWS * most), -1, dtype=torch.int64).view(torch.uint64)
    distance.distance_settle[(batch, 2)](*scanned, chosen, offsets, listed, keys, *which, most, ROWS=64)
    room = next(size for size in (16, 128, 1024) if size >= k)
    ids, scores = torch.full((batch, k), -7), torch.full((batch, k), torch.nan)
    counts, certificates = torch.full((batch,), -1), torch.full((batch,), -1, dtype=torch.int32)
    best, slack = torch.zeros(batch, room, dtype=torch.uint64), torch.full((batch,), torch.nan)
    outputs = (ids, scores, counts, certificates)
    settle.finish_top_k[(batch,)](
        *(keys, best, offsets, bounds, slack, nans, *outputs, BIN_ROWS * most, wanted, most, k, 1, PARTS),
        K=room,
        BLOCK=256,
    )
    each = [ids[i, : counts[i]].numpy() for i in range(batch)]
    return each, [scores[i, : counts[i]].numpy() for i in range(batch)], certificates.numpy()


def pairs(
    table: NDArray[np.float32], margin: float, queries: NDArray[np.float32], ids: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Scores of query i and row ids[i]."""
    scores = torch.full((len(queries),), torch.nan)
    both = (torch.tensor(queries), torch.tensor(table), torch.tensor(ids))
    distance.distance_pairs[(ceil(len(queries), 64),)](
        *both, scores, len(queries), table.shape[1] // 2, margin, PAIRS=64
    )
    return scores.numpy()


def ranks(
    table: NDArray[np.float32],
    margin: float,
    queries: NDArray[np.float32],
    targets: NDArray[np.int64],
    known: AnswerLists | None,
    penalty: float,
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """better, equal, equal_lower int64 [3, batch], and certificates."""
    batch, half, tiles = len(queries), table.shape[1] // 2, ceil(len(table), TILE)
    scores = torch.tensor(pairs(table, margin, queries, targets))
    asked = (torch.tensor(queries), torch.tensor(table), torch.tensor(targets), scores)
    counts = torch.full((batch, PARTS, 3), -1, dtype=torch.int32)
    nans = torch.full((batch, PARTS), -1, dtype=torch.int32)
    distance.distance_counts[(ceil(batch, QUERIES), PARTS)](
        *asked, counts, nans, batch, len(table), half, margin, tiles, ceil(tiles, PARTS), QUERIES=QUERIES
    )
    found = torch.full((3, batch), -1)
    certificates = torch.full((batch,), -1, dtype=torch.int32)
    nothing = NOWHERE.int()
    rank_settle.finish_ranks[(batch,)](
        *(*asked, torch.zeros(1), nothing, nothing, counts, nans, *lists(None, batch), *found, certificates),
        *(0, 0, 0, PARTS, 0, 1, float(penalty)),
        ROWS=64,
    )
    distance.distance_known[(batch,)](*asked, *lists(known, batch), *found, half, margin, float(penalty), ROWS=64)
    return found.numpy(), certificates.numpy()
