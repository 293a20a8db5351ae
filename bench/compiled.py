"""The compiled token-table encoder in the place of a Model, for the measurements that need no more than an encoder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmkg_sdk.bundle import Bundle
from mmkg_sdk.compiled_encoder import CompiledEncoder, absence
from mmkg_sdk.entity_batch import EntityBatch
from mmkg_sdk.errors import BackendError

# What a contender names instead of a backend.
KERNELS = "kernels"
# It walks over blocks of its own, so more at once costs no memory; bounds the time of one sample.
ENTITIES_AT_ONCE = 4096


class CompiledContender:
    """`encode_batch` and `backend.run` of a Model, whatever the graph is called."""

    def __init__(self, bundle: Bundle, threads: int) -> None:
        self.bundle = bundle
        self.backend = self
        self._encoder = CompiledEncoder(bundle, threads)

    @classmethod
    def open(cls, bundle: str | Path, threads: int) -> CompiledContender:
        """Open a bundle.

        Raises:
            BundleError: it cannot be opened.
            BackendError: the kernels cannot encode its entities.
        """
        opened = Bundle.open(bundle)
        if why := absence(opened):
            raise BackendError(f"the compiled kernels do not encode these entities: {why}.")
        return cls(opened, threads)

    def encode_batch(self, batch: EntityBatch, graph: str) -> dict[str, NDArray[np.float32]]:
        """ "vectors" float32 [len(batch), width], encoded in runs of ENTITIES_AT_ONCE."""
        starts = range(0, len(batch), ENTITIES_AT_ONCE)
        parts = [self.run(graph, batch.rows(slice(start, start + ENTITIES_AT_ONCE))) for start in starts]
        return {"vectors": np.concatenate([part["vectors"] for part in parts])}

    def run(self, graph: str, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
        """ "vectors" of one run."""
        return self._encoder.encode(EntityBatch(dict(inputs), 0))

    def __enter__(self) -> CompiledContender:
        return self

    def __exit__(self, *error: object) -> None:
        pass
