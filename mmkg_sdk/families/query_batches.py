"""What the query graph of most link prediction families is fed: rows of the table, a relation and a direction."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bundle import Bundle
from ..ranking.known_triples import Queries

# The Tucker core makes a d x d matrix per query: 67 MB for 256 at d = 256.
QUERY_CHUNK = 256


def query_batches(
    bundle: Bundle, table: NDArray[np.float32], queries: Queries
) -> Iterator[tuple[slice | NDArray[np.int64], dict[str, NDArray[Any]]]]:
    """Which queries go into one run of the query graph, and its inputs.

    Args:
        table: float32 [entities, width], those added later included.
    """
    for start in range(0, len(queries), QUERY_CHUNK):
        chunk = queries[start : start + QUERY_CHUNK]
        # Only the rows that are asked about travel to the backend, so the table may grow and stay on the host.
        inputs: dict[str, NDArray[Any]] = {"table": table[chunk.entity], "entity": np.arange(len(chunk))}
        inputs |= {"relation": chunk.relation, "direction": chunk.direction.astype(np.int64)}
        yield slice(start, start + len(chunk)), inputs
