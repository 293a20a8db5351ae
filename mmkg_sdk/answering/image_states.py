"""ImageStates: what a model made of images before it sees a text, kept where its graphs run."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Hashable

from ..backends import AnyArray


class ImageStates:
    """The states that were used last, up to so many bytes, and one in any case. Safe to call from several threads.

    Args:
        most_bytes: of the memory of the backend's device; of the host, where that is the device.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._states: OrderedDict[Hashable, AnyArray] = OrderedDict()
        self._bytes = 0

    def find(self, key: Hashable) -> AnyArray | None:
        """The state of a set of images; None if there is none (any more)."""
        with self._lock:
            if key in self._states:
                self._states.move_to_end(key)
            return self._states.get(key)

    def keep(self, key: Hashable, state: AnyArray) -> None:
        """Keep a state; those that were not used for the longest time go."""
        with self._lock:
            before = self._states.pop(key, None)  # of another thread that was asked the same
            self._states[key] = state
            self._bytes += _size(state) - (0 if before is None else _size(before))
            while self._bytes > self._most_bytes and len(self._states) > 1:
                _, gone = self._states.popitem(last=False)
                self._bytes -= _size(gone)

    def clear(self) -> None:
        """Let go of all; calls that run keep theirs."""
        with self._lock:
            self._states.clear()
            self._bytes = 0


def _size(state: AnyArray) -> int:
    return math.prod(state.shape) * state.dtype.itemsize
