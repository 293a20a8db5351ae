"""What scores mentions and entities of a bundle in place of its interaction graph: kernels of the CPU or of a GPU."""

from __future__ import annotations

import copy
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...backends.compiled import CompiledGraph, Weights, as_float32, kernels_absence
from ...bundle import Bundle
from ...kernels import LateInteraction
from ...kernels.gpu import GpuArray, gpu_kernels_absence
from ...kernels.gpu.interaction import MAX_LENGTH, GpuInteraction

GRAPH = "interaction"
Entities = Mapping[str, NDArray[Any]]


def absence(bundle: Bundle, device: str = "cpu") -> str | None:
    """Why no compiled kernel can score the entities of a bundle on a device; None if one can."""
    if GRAPH not in bundle.graphs:
        return f"this bundle has no graph {GRAPH}"
    if not device.startswith("cuda"):
        return kernels_absence(device)
    length = bundle.encoded["entity_queries"].shape[1]
    if length > MAX_LENGTH:
        return f"its texts have {length} tokens, and the CUDA kernels go to {MAX_LENGTH}"
    return gpu_kernels_absence(device)


def compiled_interaction(
    bundle: Bundle, device: str, threads: int | None
) -> CompiledInteraction | InteractionOnGpu | None:
    """What scores pairs; None where `absence` says why not: the graph does."""
    if absence(bundle, device):
        return None
    return InteractionOnGpu(bundle, device) if device.startswith("cuda") else CompiledInteraction(bundle, threads)


class CompiledInteraction:
    """The interaction of a bundle that `absence` allows, on the CPU, with the bundle's entities. Safe to call from
    several threads.

    Half precision entities are scored with logits in int16, which changes scores by less than storing them in half
    precision did. Weights are read when the first mentions are scored.
    """

    def __init__(self, bundle: Bundle, threads: int | None) -> None:
        self.bundle = bundle

        def interaction(weights: Weights) -> LateInteraction:
            return LateInteraction(*_described(bundle, weights), threads=threads)

        self._graph = CompiledGraph(bundle, GRAPH, interaction)
        self._entities: Entities = bundle.encoded

    def of(self, entities: Entities) -> CompiledInteraction:
        """See InteractionStandIn."""
        other = copy.copy(self)  # with the same kernel
        other._entities = entities
        return other

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
        return self._graph.kernel().scores(mentions, self._entities, candidates)

    def best(self, mentions: Mapping[str, NDArray[np.float32]], k: int, candidates: NDArray[np.int64] | None) -> None:
        """None: scores are made on the host."""

    def ranks(self, mentions: Mapping[str, NDArray[np.float32]], targets: NDArray[np.int64]) -> None:
        """None: scores are made on the host."""


class InteractionOnGpu:
    """The same on a GPU. The pieces of all entities are copied there with the first mentions, and stay.

    NOT RUN ON A GPU YET: tested with a stand-in for NVIDIA's driver. Scores differ from the CPU's by rounding
    (kernels/gpu/interaction.py). Safe to call from several threads.
    """

    def __init__(self, bundle: Bundle, device: str) -> None:
        self.bundle = bundle

        def interaction(weights: Weights) -> GpuInteraction:
            return GpuInteraction(*_described(bundle, weights), device=device)

        self._graph = CompiledGraph(bundle, GRAPH, interaction)
        self._entities: Entities = bundle.encoded
        self._placing = threading.Lock()
        self._placed: dict[str, GpuArray] | None = None

    def of(self, entities: Entities) -> InteractionOnGpu:
        """See InteractionStandIn: these are copied with the first mentions, too."""
        other = copy.copy(self)  # with the same kernel
        other._entities, other._placing, other._placed = entities, threading.Lock(), None
        return other

    def scores(
        self, mentions: Mapping[str, NDArray[np.float32]], candidates: NDArray[np.int64] | None
    ) -> NDArray[np.float32]:
        """See CompiledInteraction.

        Raises:
            BackendError: the weights do not fit, a score is not finite, or the GPU has too little memory for the
                entities; the text says how much was asked for.
        """
        interaction, entities = self._on_gpu()
        return interaction.scores(mentions, entities, candidates)

    def best(
        self, mentions: Mapping[str, NDArray[np.float32]], k: int, candidates: NDArray[np.int64] | None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """See InteractionStandIn: no other scores come back, and the mentions travel once."""
        interaction, entities = self._on_gpu()
        places, scores = interaction.best(mentions, entities, k, candidates)
        return places.astype(np.int64) if candidates is None else candidates[places], scores

    def ranks(self, mentions: Mapping[str, NDArray[np.float32]], targets: NDArray[np.int64]) -> NDArray[np.int64]:
        """See InteractionStandIn: ranks come back, and no scores."""
        interaction, entities = self._on_gpu()
        return interaction.ranks(mentions, entities, targets).astype(np.int64)

    def _on_gpu(self) -> tuple[GpuInteraction, dict[str, GpuArray]]:
        interaction = self._graph.kernel()
        with self._placing:
            if self._placed is None:
                self._placed = interaction.place(self._entities)
            return interaction, self._placed


def _described(bundle: Bundle, weights: Weights) -> tuple[Weights, dict[str, tuple[int, ...]], str]:
    """Weights in float32, the shapes of the entities' pieces, and their dtype."""
    pieces = bundle.encoded
    sizes = {name: piece.shape[1:] for name, piece in pieces.items()}
    return {name: as_float32(array) for name, array in weights.items()}, sizes, pieces["entity_queries"].dtype.name
