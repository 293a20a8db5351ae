"""What the graphs of a bundle are given when it is asked the queries of its own training split."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from mmkg_sdk.backends.base import AnyArray
from mmkg_sdk.backends.onnxruntime import OnnxRuntimeBackend
from mmkg_sdk.bundle import Bundle


class RecordingBackend(OnnxRuntimeBackend):
    """ONNX Runtime on the CPU, which keeps what each graph is given, in order, in `given`."""

    def __init__(self, bundle: Bundle, device: str, threads: int | None) -> None:
        super().__init__(bundle, device, threads)
        self.given: dict[str, list[dict[str, NDArray[Any]]]] = {graph: [] for graph in bundle.graphs}

    @classmethod
    def of(cls, bundle: Bundle) -> Self:
        """On the CPU, with the usual number of threads."""
        return cls.open(bundle, "cpu", None)

    def run(self, graph: str, inputs: Mapping[str, AnyArray]) -> dict[str, NDArray[Any]]:
        """See Backend.run."""
        kept = {name: array if isinstance(array, np.ndarray) else array.numpy() for name, array in inputs.items()}
        self.given[graph].append(kept)
        return super().run(graph, inputs)
