"""Rotations: from the ids of queries to entities rotated by relations, by the compiled library."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import BackendError
from .library import address, check, in_place, loaded_library

_NAN = 2  # mmkg_status


class Rotations:
    """The graph `query_encoder` of AdaMF-MAT: the known entity times cos + i sin of the relation, or its conjugate.

    Each product and each sum is rounded once, so the bits are the same on every processor. Safe to call from several
    threads; a forked child may go on using it.

    Args:
        rotations: float32 [relations, width], cosines, then sines; read where it is if C-contiguous and aligned, so it
            must not change.

    Raises:
        BackendError: no library; rotations that are not float32, or of an odd width.
    """

    def __init__(self, rotations: NDArray[np.float32]) -> None:
        self._library = loaded_library()
        shape = rotations.shape
        if len(shape) != 2 or not shape[0] or not shape[1] or shape[1] % 2 or rotations.dtype != np.float32:
            raise BackendError(
                f"rotations: {rotations.dtype} {list(shape)}; expected float32 [relations, width] of an even width. "
                "Export the bundle again."
            )
        self._rotations = in_place(rotations)
        self.width = shape[1]

    def apply(
        self,
        table: NDArray[np.float32],
        entity: NDArray[np.int64],
        relation: NDArray[np.int64],
        direction: NDArray[np.int64],
    ) -> NDArray[np.float32]:
        """The known entity of each query, rotated to where the answer should be, float32 [batch, width], finite.

        Args:
            table: float32 [entities, width]; read where it is if C-contiguous and aligned.
            entity, relation, direction: int64 [batch]: a row of the table, a relation, 0 (the tail is missing) or 1.

        Raises:
            BackendError: wrong shape or dtype, an id out of range, what float32 cannot hold.
        """
        if table.ndim != 2 or table.shape[1] != self.width or table.dtype != np.float32:
            raise BackendError(f"table: {table.dtype} {list(table.shape)}; expected float32 [entities, {self.width}].")
        table = in_place(table)
        batch = len(entity)
        ids = []
        for name, column in (("entity", entity), ("relation", relation), ("direction", direction)):
            if column.shape != (batch,) or column.dtype != np.int64:
                raise BackendError(f"{name}: {column.dtype} {list(column.shape)}; expected int64 [{batch}].")
            ids.append(in_place(column))
        queries = np.empty((batch, self.width), np.float32)
        known, rotations = (address(table), *table.shape), (address(self._rotations), len(self._rotations))
        status = self._library.mmkg_rotation_apply(*known, *rotations, *map(address, ids), batch, address(queries))
        if status == _NAN:
            raise BackendError(
                "query_encoder gave NaN or infinity: a row of the table or of the rotations is not finite, or float32 "
                "cannot hold their product. Export from a sound run."
            )
        check(status)
        return queries
