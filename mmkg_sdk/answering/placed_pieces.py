"""PlacedPieces: what a bundle keeps of its entities, on a backend's device."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from ..backends import Backend, DeviceArray


class PlacedPieces:
    """Arrays with one row per entity, copied to the device in blocks when they are first asked for, and kept there.

    Safe to call from several threads.

    Args:
        arrays: name -> array, all of one length.
        size: entities in a block; the last may have fewer.
    """

    def __init__(self, backend: Backend, arrays: Mapping[str, NDArray[Any]], size: int) -> None:
        self.size = size
        self._backend = backend
        self._arrays = arrays
        self._lock = threading.Lock()
        self._blocks: list[dict[str, DeviceArray]] | None = None

    def of(self, arrays: Mapping[str, NDArray[Any]]) -> PlacedPieces:
        """Other arrays, for the same backend."""
        return PlacedPieces(self._backend, arrays, self.size)

    def blocks(self) -> Sequence[Mapping[str, DeviceArray]]:
        """The arrays of entities 0 to size - 1, of the next ones, and so on.

        Raises:
            BackendError: the device has not got the memory.
        """
        with self._lock:
            if self._blocks is None:
                count = len(next(iter(self._arrays.values()), ()))
                starts = range(0, count, self.size)
                self._blocks = [self._placed(slice(start, start + self.size)) for start in starts]
            return self._blocks

    def free(self) -> None:
        """Let go of the blocks; calls that run keep theirs."""
        with self._lock:
            self._blocks = None

    def _placed(self, rows: slice) -> dict[str, DeviceArray]:
        return {name: self._backend.place(array[rows]) for name, array in self._arrays.items()}
