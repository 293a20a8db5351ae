"""CompiledEncoder: what encodes entities of a bundle in place of its token-table graph, on the CPU or a GPU.

The GPU's kernels have never run on one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...backends.compiled import CompiledGraph, Weights, as_float32
from ...bundle import Bundle
from ...errors import BackendError
from ...kernels import TokenTableEncoder
from ...kernels.gpu.token_table import GpuTokenTableEncoder
from ..entity_batch import EntityBatch
from .compiled_layers import layers_absence
from .config import MyGOConfig

TOKEN_TABLE_GRAPH = "entity_encoder_token_table"
_INPUTS = ("structure", "visual_tokens", "visual_mask", "text_tokens", "text_mask")


def absence(bundle: Bundle, device: str = "cpu") -> str | None:
    """Why the compiled kernels cannot encode the entities of a bundle; None if they can."""
    if TOKEN_TABLE_GRAPH not in bundle.graphs:
        return (
            f"this bundle has no graph {TOKEN_TABLE_GRAPH}: the rewrite is MyGO's, and exact for one entity encoder "
            "layer only"
        )
    return layers_absence(bundle, device)


def compiled_encoder(bundle: Bundle, device: str, threads: int | None) -> CompiledEncoder | None:
    """What encodes entities where no graph is named; None where `absence` says why not: the graph does."""
    return None if absence(bundle, device) else CompiledEncoder(bundle, threads, device)


class CompiledEncoder:
    """The token-table encoder of a bundle that `absence` allows, in float32. Safe to call from several threads.

    Weights in half precision are multiplied as the float32 numbers that they are, so no sum is rounded to half
    precision as the graph rounds it. They are read when the first entities are encoded, for most users of a bundle
    never encode one.
    """

    def __init__(self, bundle: Bundle, threads: int | None, device: str = "cpu") -> None:
        self.bundle = bundle
        rows = MyGOConfig.of(bundle.config).visual_codebook_rows

        def encoder(weights: Weights) -> TokenTableEncoder | GpuTokenTableEncoder:
            wide = {name: as_float32(array) for name, array in weights.items()}
            if device == "cpu":
                return TokenTableEncoder(wide, rows, threads)
            return GpuTokenTableEncoder(wide, rows, device)

        self._graph = CompiledGraph(bundle, TOKEN_TABLE_GRAPH, encoder)

    def encode(self, batch: EntityBatch) -> dict[str, NDArray[np.float32]]:
        """ "vectors" float32 [len(batch), width].

        Raises:
            BackendError: the weights do not fit, or a vector is not finite.
        """
        structure, *tokens = (batch.arrays[name] for name in _INPUTS)
        visual_tokens, visual_mask, text_tokens, text_mask = tokens
        vectors = self._graph.kernel().encode(structure, visual_tokens, visual_mask, text_tokens, text_mask)
        found = vectors if isinstance(vectors, np.ndarray) else vectors.numpy()
        if not np.isfinite(found).all():
            raise BackendError(
                f"{TOKEN_TABLE_GRAPH} gave NaN or infinity: float32 cannot hold what the weights make of an entity. "
                "Export from a sound run."
            )
        return {"vectors": found}
