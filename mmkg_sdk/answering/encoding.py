"""Entities through an encoder graph, in as many runs as they need."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from ..backends.base import OutOfDeviceMemory
from ..families.entity_batch import EntityBatch

Arrays = dict[str, NDArray[np.float32]]
# A graph by name, its inputs, the outputs that are needed -> these.
RunGraph = Callable[[str, Mapping[str, NDArray[np.generic]], Iterable[str]], Arrays]


def encode_in_chunks(run: RunGraph, graph: str, batch: EntityBatch, chunk: int, widths: Mapping[str, int]) -> Arrays:
    """All outputs of an encoder graph.

    Args:
        chunk: entities of a run.
        widths: of the outputs, by name.
    """
    parts = [
        part
        for start in range(0, len(batch), chunk)
        for part in _encode(run, graph, batch, start, min(start + chunk, len(batch)), widths)
    ]
    empty = {name: np.empty((0, width), np.float32) for name, width in widths.items()}
    return {name: np.concatenate([empty[name], *(part[name] for part in parts)]) for name in widths}


def _encode(
    run: RunGraph, graph: str, batch: EntityBatch, start: int, stop: int, widths: Mapping[str, int]
) -> list[Arrays]:
    """The outputs for some entities, in halves where the device has too little memory for all at a time."""
    try:
        return [run(graph, batch.rows(slice(start, stop)), widths)]
    except OutOfDeviceMemory:
        if stop - start == 1:
            raise
    # Not in the handler: the error holds what the run had of the memory.
    middle = (start + stop) // 2
    return [
        *_encode(run, graph, batch, start, middle, widths),
        *_encode(run, graph, batch, middle, stop, widths),
    ]
