"""How a candidate is scored against a query vector, in numpy; higher is better in every family."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

# Complex coordinates compared at a time: their real and imaginary parts (256 KiB) stay in the L2 cache. Of 8,192 to
# 65,536 this was the fastest on an AMD EPYC with 1 MiB of it.
_COORDINATES = 1 << 15


class CandidateScore(Protocol):
    """A score of query vectors [batch, width] and rows of the entity table [candidates, width]."""

    def __call__(self, queries: NDArray[np.float32], candidates: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 [batch, candidates]: every query with every candidate."""
        ...

    def pairs(self, queries: NDArray[np.float32], candidates: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 [batch]: query i with candidate i."""
        ...


@dataclass(frozen=True)
class InnerProduct:
    """queries @ candidates.T"""

    def __call__(self, queries: NDArray[np.float32], candidates: NDArray[np.float32]) -> NDArray[np.float32]:
        """See CandidateScore."""
        scores: NDArray[np.float32] = queries @ candidates.T
        return scores

    def pairs(self, queries: NDArray[np.float32], candidates: NDArray[np.float32]) -> NDArray[np.float32]:
        """See CandidateScore."""
        scores: NDArray[np.float32] = np.einsum("bd,bd->b", queries, candidates)
        return scores


@dataclass(frozen=True)
class ComplexDistance:
    """margin - sum over d complex coordinates of |query - candidate|; vectors hold d real, then d imaginary parts.

    RotatE (Sun et al. 2019), as AdaMF-MAT has it: moduli are added up, not squared. Memory beside the result does not
    grow with the batch or the table.
    """

    margin: float

    def __call__(self, queries: NDArray[np.float32], candidates: NDArray[np.float32]) -> NDArray[np.float32]:
        """See CandidateScore."""
        width = queries.shape[1] // 2
        scores = np.empty((len(queries), len(candidates)), np.float32)
        rows = max(1, _COORDINATES // width)
        workspace = np.empty((2, min(rows, len(candidates)), width), np.float32)
        for start in range(0, len(candidates), rows):
            block = candidates[start : start + rows]
            real, imaginary = np.ascontiguousarray(block[:, :width]), np.ascontiguousarray(block[:, width:])
            squares, more = workspace[:, : len(block)]
            for query, row in zip(queries, scores, strict=True):
                np.subtract(real, query[:width], out=squares)
                np.subtract(imaginary, query[width:], out=more)
                np.multiply(squares, squares, out=squares)
                np.multiply(more, more, out=more)
                np.add(squares, more, out=squares)
                np.sqrt(squares, out=squares)
                np.sum(squares, axis=1, out=row[start : start + rows])
        return np.subtract(np.float32(self.margin), scores, out=scores)

    def pairs(self, queries: NDArray[np.float32], candidates: NDArray[np.float32]) -> NDArray[np.float32]:
        """See CandidateScore."""
        real, imaginary = np.split(queries - candidates, 2, axis=1)
        scores: NDArray[np.float32] = np.float32(self.margin) - np.sqrt(real**2 + imaginary**2).sum(axis=1)
        return scores
