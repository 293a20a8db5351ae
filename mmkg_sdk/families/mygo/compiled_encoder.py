"""CompiledEncoder: what encodes entities of a bundle in place of its token-table graph, on the CPU or a GPU.

The GPU's kernels have never run on one.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ...backends import DeviceArray
from ...backends.compiled import CompiledGraph, Weights, as_float32
from ...bundle import Bundle
from ...errors import BackendError
from ...kernels import TokenTableEncoder
from ...kernels.gpu.token_table import GpuTokenTableEncoder
from ..entity_batch import EntityBatch
from .compiled_layers import layers_absence
from .config import MyGOConfig
from .modalities import token_inputs

TOKEN_TABLE_GRAPH = "entity_encoder_token_table"


def absence(bundle: Bundle, device: str = "cpu") -> str | None:
    """Why the compiled kernels cannot encode the entities of a bundle; None if they can."""
    if TOKEN_TABLE_GRAPH not in bundle.graphs:
        return (
            f"this bundle has no graph {TOKEN_TABLE_GRAPH}: the rewrite is MyGO's, and exact for one entity encoder "
            "layer only"
        )
    if device != "cpu" and MyGOConfig.of(bundle.config).further_modalities:
        return "the kernels for GPUs take image and text alone"
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
        self._modalities = MyGOConfig.of(bundle.config).modalities
        rows = self._modalities[0].codebook_rows

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
        arrays = [batch.arrays[name] for name in token_inputs(self._modalities)]
        tokens, masks = arrays[0::2], arrays[1::2]
        # The kernel knows two tables, one behind the other: the first, and all the others as one.
        rest, hidden = tokens[1], masks[1]
        if len(tokens) > 2:
            starts = np.cumsum([0, *(one.codebook_rows for one in self._modalities[1:-1])])
            rest = np.concatenate([own + start for own, start in zip(tokens[1:], starts, strict=True)], axis=1)
            hidden = np.concatenate(masks[1:], axis=1)
        vectors = self._graph.kernel().encode(batch.arrays["structure"], tokens[0], masks[0], rest, hidden)
        found = vectors if isinstance(vectors, np.ndarray) else vectors.numpy()
        if not np.isfinite(found).all():
            raise BackendError(
                f"{TOKEN_TABLE_GRAPH} gave NaN or infinity: float32 cannot hold what the weights make of an entity. "
                "Export from a sound run."
            )
        return {"vectors": found}

    def placed_vectors(self, inputs: Mapping[str, DeviceArray], stream: int) -> DeviceArray | None:
        """See EncoderStandIn: float32 [batch, width]; a token that is no row gives NaN for its entity."""
        kernel = self._graph.kernel()
        if isinstance(kernel, TokenTableEncoder):
            return None
        tokens, mask, rest, hidden = (inputs[name] for name in token_inputs(self._modalities))
        return kernel.encode(inputs["structure"], tokens, mask, rest, hidden, stream)
