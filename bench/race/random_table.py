"""Random vectors for races, equal in every process, made block by block so that nobody has to hold them all."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

_BLOCK = 1 << 15


def table_blocks(rows: int, width: int, seed: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """The first row of each block, and float32 [block, width] of normal numbers, as trained vectors nearly are."""
    for start in range(0, rows, _BLOCK):
        random = np.random.default_rng([seed, 0, start])
        yield start, random.standard_normal((min(_BLOCK, rows - start), width), np.float32)


def whole_table(rows: int, width: int, seed: int) -> NDArray[np.float32]:
    """All blocks, float32 [rows, width]."""
    table = np.empty((rows, width), np.float32)
    for start, block in table_blocks(rows, width, seed):
        table[start : start + len(block)] = block
    return table


def random_batch(number: int, batch: int, width: int, seed: int) -> NDArray[np.float32]:
    """Queries, float32 [batch, width]; a smaller batch has the first of a larger one."""
    return np.random.default_rng([seed, 1 + number]).standard_normal((batch, width), np.float32)
