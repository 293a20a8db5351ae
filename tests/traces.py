"""Graphs of the tests' models are traced once for a run of the tests: torch takes seconds for each.

What a trace depends on is the module, with all its weights, and the spec; that is what it is found by. A test whose
subject is the tracing itself asks for `traced_anew`.
"""

from __future__ import annotations

import hashlib
import io
import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mmkg_sdk.bundle import tracing

if TYPE_CHECKING:
    import onnx
    from torch import nn

    from mmkg_sdk.bundle.graph_specs import GraphSpec

trace_anew = tracing.trace_graph
# The folder of the traces, for programs that tests start.
FOLDER = "MMKG_TESTS_TRACES"


class _Pickler(pickle.Pickler):
    """Tensors by their values: torch's own pickles hold addresses."""

    def reducer_override(self, obj: Any) -> Any:
        import torch

        if not isinstance(obj, torch.Tensor):
            return NotImplemented
        values = obj.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes()
        return str, (f"{type(obj)} {obj.dtype} {tuple(obj.shape)} {hashlib.sha256(values).hexdigest()}",)


def _digest(module: nn.Module, spec: GraphSpec) -> str | None:
    """None for a module that cannot be pickled."""
    written = io.BytesIO()
    try:
        _Pickler(written).dump((module, spec))
    except (AttributeError, TypeError, pickle.PicklingError):
        return None
    return hashlib.sha256(written.getvalue()).hexdigest()


def trace_once(module: nn.Module, spec: GraphSpec) -> onnx.ModelProto:
    """trace_graph's result, from the folder where it lies there."""
    import onnx

    _one_table_of_operators()
    digest = _digest(module.eval(), spec)
    if digest is None:
        return trace_anew(module, spec)
    path = Path(os.environ[FOLDER]) / digest
    if path.exists():
        return onnx.load_model_from_string(path.read_bytes())
    model = trace_anew(module, spec)
    written = path.with_name(f"{digest}.{os.getpid()}")
    written.write_bytes(model.SerializeToString())
    written.rename(path)
    return model


@cache
def _one_table_of_operators() -> None:
    """torch makes a table of all operators for every graph, the same one; here it is made once for a process."""
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    ONNXRegistry.from_torchlib = staticmethod(cache(ONNXRegistry.from_torchlib))  # type: ignore[method-assign]


@contextmanager
def traced_once(folder: Path | None = None) -> Iterator[None]:
    """What is exported here is traced once for all who name the same folder; None: that of the run of the tests."""
    with pytest.MonkeyPatch.context() as patched:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            patched.setenv(FOLDER, str(folder))
        patched.setattr(tracing, "trace_graph", trace_once)
        yield
