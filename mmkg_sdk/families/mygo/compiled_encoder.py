"""CompiledEncoder: what encodes entities of a bundle on the CPU in place of its token-table graph."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...backends.compiled import CompiledGraph, Weights, as_float32, kernels_absence
from ...bundle import Bundle
from ...kernels import TokenTableEncoder
from ..entity_batch import EntityBatch
from .config import MyGOConfig

TOKEN_TABLE_GRAPH = "entity_encoder_token_table"


def absence(bundle: Bundle, device: str = "cpu") -> str | None:
    """Why the compiled kernels cannot encode the entities of a bundle; None if they can."""
    if TOKEN_TABLE_GRAPH not in bundle.graphs:
        return (
            f"this bundle has no graph {TOKEN_TABLE_GRAPH}: the rewrite is MyGO's, and exact for one entity encoder "
            "layer only"
        )
    return kernels_absence(device)


def compiled_encoder(bundle: Bundle, device: str, threads: int | None) -> CompiledEncoder | None:
    """What encodes entities where no graph is named; None where `absence` says why not: the graph does."""
    return None if absence(bundle, device) else CompiledEncoder(bundle, threads)


class CompiledEncoder:
    """The token-table encoder of a bundle that `absence` allows, in float32. Safe to call from several threads.

    Weights in half precision are multiplied as the float32 numbers that they are, so no sum is rounded to half
    precision as the graph rounds it. They are read when the first entities are encoded, for most users of a bundle
    never encode one.
    """

    def __init__(self, bundle: Bundle, threads: int | None) -> None:
        self.bundle = bundle
        rows = MyGOConfig.of(bundle.config).visual_codebook_rows

        def encoder(weights: Weights) -> TokenTableEncoder:
            return TokenTableEncoder({name: as_float32(array) for name, array in weights.items()}, rows, threads)

        self._graph = CompiledGraph(bundle, TOKEN_TABLE_GRAPH, encoder)

    def encode(self, batch: EntityBatch) -> dict[str, NDArray[np.float32]]:
        """ "vectors" float32 [len(batch), width].

        Raises:
            BackendError: the weights do not fit, or a vector is not finite.
        """
        return {"vectors": self._graph.kernel().encode(**batch.arrays)}
