"""AddedRows: arrays of what was added to an open bundle, which grow without being copied each time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

# That memory is taken for when the first entity is added.
_LEAST_ROWS = 64


class AddedRows:
    """Arrays that grow at their end, in twice the memory at most. What was given of them stays as it was."""

    def __init__(self) -> None:
        self._memory: dict[str, NDArray[Any]] = {}

    def append(self, count: int, total: int, blocks: Iterable[Mapping[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
        """The first `count` rows of each array with others behind them, `total` together; one thread at a time.

        Args:
            blocks: the others, some at a time: no more than one block is in memory beside the arrays.
        """
        start, names = count, set[str]()
        for rows in blocks:
            for name, block in rows.items():
                self._reserve(name, count, total, block)[start : start + len(block)] = block
                names.add(name)
            start += len(block)
        assert start == total
        return {name: self._memory[name][:total] for name in names}

    def _reserve(self, name: str, count: int, total: int, like: NDArray[Any]) -> NDArray[Any]:
        memory = self._memory.get(name, like[:0])
        if total > len(memory):
            # What lies behind `total` is no memory yet: the system gives it when it is written to.
            larger = np.empty((max(_LEAST_ROWS, 2 * total), *like.shape[1:]), like.dtype)
            larger[:count] = memory[:count]
            self._memory[name] = memory = larger
        return memory
