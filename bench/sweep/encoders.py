"""Encoder: what encodes entities in a contender's process, a graph or the compiled kernels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmkg_sdk import Model
from mmkg_sdk.answering.entity_table import entity_chunk
from mmkg_sdk.bundle import Bundle
from mmkg_sdk.errors import missing_package
from mmkg_sdk.families.entity_batch import EntityBatch
from mmkg_sdk.families.measuring import KERNELS, PLAIN, measuring

from ..machine.sessions import open_module

# The kernels walk over blocks of their own, so more at once costs no memory; bounds the time of one sample.
_KERNELS_AT_ONCE = 4096


@dataclass(frozen=True)
class Encoder:
    """Attributes:
    graph: its name.
    run: the arrays of an EntityBatch -> "vectors", float32 [entities, width], among other outputs.
    own_batch: entities per run by the tokens of each, where nobody asked for another number.
    """

    bundle: Bundle
    graph: str
    run: Callable[[Mapping[str, NDArray[Any]]], Mapping[str, NDArray[np.float32]]]
    own_batch: Callable[[int], int]

    def encode(self, entities: EntityBatch, batch: int) -> list[NDArray[np.float32]]:
        """Vectors of all of them, in runs of `batch`."""
        starts = range(0, len(entities), batch)
        return [self.run(entities.rows(slice(at, at + batch)))["vectors"] for at in starts]


def open_encoder(model: Model, graph: str, job: Mapping[str, Any]) -> Encoder:
    """The encoder of a contender.

    Args:
        graph: of the contender (Contender.graph).
        job: of the contender (measurements.py).

    Raises:
        BackendError: a package is missing, or the graph does not load.
    """
    bundle = model.bundle
    if job["backend"] == KERNELS:
        return Encoder(
            bundle,
            graph,
            lambda arrays: model.encode_batch(EntityBatch(dict(arrays), 0)),
            lambda token_count: _KERNELS_AT_ONCE,
        )

    def own_batch(token_count: int) -> int:
        return entity_chunk(token_count, job["device"])

    if job["rewrite"] == PLAIN:
        try:
            module, spec = measuring(bundle.family).plain_encoder(bundle)
        except ModuleNotFoundError as err:
            raise missing_package("torch", "train", "measuring the encoder as published") from err
        return Encoder(
            bundle, graph, open_module(module, spec, job["backend"], job["device"], job["threads"]), own_batch
        )
    model.backend.prepare(graph)
    return Encoder(bundle, graph, lambda arrays: model.backend.run(graph, arrays), own_batch)
