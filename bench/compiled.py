"""The compiled token-table encoder of a model that takes the kernels, under the name of its graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmkg_sdk import Model
from mmkg_sdk.entity_batch import EntityBatch

# The backend by which `mmkg_sdk.load` opens a bundle so that the kernels do what they can.
KERNELS = "auto"
# The kernel walks over blocks of its own, so more at once costs no memory; bounds the time of one sample.
ENTITIES_AT_ONCE = 4096


class CompiledContender:
    """`encode_batch` and `backend.run` of a Model, whatever the graph is called."""

    def __init__(self, model: Model) -> None:
        self.bundle = model.bundle
        self.backend = self
        self._model = model

    def encode_batch(self, batch: EntityBatch, graph: str) -> dict[str, NDArray[np.float32]]:
        """ "vectors" float32 [len(batch), width], encoded in runs of ENTITIES_AT_ONCE."""
        starts = range(0, len(batch), ENTITIES_AT_ONCE)
        parts = [self.run(graph, batch.rows(slice(start, start + ENTITIES_AT_ONCE))) for start in starts]
        return {"vectors": np.concatenate([part["vectors"] for part in parts])}

    def run(self, graph: str, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        """ "vectors" of one run."""
        return self._model.encode_batch(EntityBatch(dict(inputs), 0))
