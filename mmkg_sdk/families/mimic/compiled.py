"""CompiledInteraction: what scores mentions and entities of a bundle on the CPU in place of its interaction graph."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ...backends.compiled import CompiledGraph, Weights, as_float32, kernels_absence
from ...bundle import Bundle
from ...kernels import LateInteraction

GRAPH = "interaction"


def absence(bundle: Bundle, device: str = "cpu") -> str | None:
    """Why the compiled kernel cannot score the entities of a bundle; None if it can."""
    if GRAPH not in bundle.graphs:
        return f"this bundle has no graph {GRAPH}"
    return kernels_absence(device)


def compiled_interaction(bundle: Bundle, device: str, threads: int | None) -> CompiledInteraction | None:
    """What scores pairs; None where `absence` says why not: the graph does."""
    return None if absence(bundle, device) else CompiledInteraction(bundle, threads)


class CompiledInteraction:
    """The interaction of a bundle that `absence` allows. Safe to call from several threads.

    Half precision entities are scored with logits in int16, which changes scores by less than storing them in half
    precision did. Weights are read when the first mentions are scored.
    """

    def __init__(self, bundle: Bundle, threads: int | None) -> None:
        self.bundle = bundle

        def interaction(weights: Weights) -> LateInteraction:
            pieces = bundle.encoded
            sizes = {name: piece.shape[1:] for name, piece in pieces.items()}
            singles = {name: as_float32(array) for name, array in weights.items()}
            return LateInteraction(singles, sizes, pieces["entity_queries"].dtype.name, threads=threads)

        self._graph = CompiledGraph(bundle, GRAPH, interaction)

    def scores(
        self, mentions: Mapping[str, NDArray[np.float32]], candidates: NDArray[np.int64] | None
    ) -> NDArray[np.float32]:
        """float32 [3, mentions, candidates], by unit: text, image, image with text.

        Args:
            mentions: their pieces by name, float32 [mentions, ...].
            candidates: int64 [candidates], ids; None = all entities.

        Raises:
            BackendError: the weights do not fit, or a score is not finite.
        """
        return self._graph.kernel().scores(mentions, self.bundle.encoded, candidates)
