"""What a backend keeps on its device, and which backend "auto" takes. The devices of the last tests are pretended."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest

from mmkg_sdk import BackendError
from mmkg_sdk.backends import BACKENDS, Backend, base, open_backend
from mmkg_sdk.backends.onnxruntime import OnnxRuntimeBackend
from mmkg_sdk.backends.torch import TorchBackend
from mmkg_sdk.bundle import Bundle
from mmkg_sdk.families.mygo.runtime import bundle_entities, query_batches
from mmkg_sdk.ranking.known_triples import Queries
from tests.backends.on_cpu import ON_CPU

every_backend = pytest.mark.parametrize("name", ON_CPU)


@pytest.fixture
def bundle(golden_bundle: Path) -> Bundle:
    return Bundle.open(golden_bundle)


def some_queries(bundle: Bundle, table: np.ndarray) -> dict[str, np.ndarray]:
    rows = np.arange(4)
    ((_, inputs),) = query_batches(bundle, table, Queries(rows, rows % len(bundle.relations), rows % 2))
    return inputs


@every_backend
def test_outputs_feed_the_next_graph_without_a_trip_to_the_host(name: str, bundle: Bundle) -> None:
    backend = open_backend(bundle, name, "cpu", 1)
    entities = bundle_entities(bundle).rows(slice(0, 4))
    encoded = backend.run_placed("entity_encoder", entities)
    assert encoded["vectors"].shape == (4, bundle.table.shape[1])
    inputs = some_queries(bundle, bundle.table) | {"entity": np.arange(4)}
    chained = backend.run("query_encoder", {**inputs, "table": encoded["vectors"]})["queries"]
    by_host = backend.run("query_encoder", {**inputs, "table": encoded["vectors"].numpy()})["queries"]
    np.testing.assert_array_equal(chained, by_host)


@every_backend
def test_a_placed_array_is_an_input_of_many_runs(name: str, bundle: Bundle) -> None:
    backend = open_backend(bundle, name, "cpu", 1)
    inputs = some_queries(bundle, bundle.table)
    expected = backend.run("query_encoder", inputs)["queries"]
    placed = backend.place(inputs["table"])
    assert placed.shape == inputs["table"].shape
    for _ in range(3):
        found = backend.run("query_encoder", {**inputs, "table": placed})["queries"]
        np.testing.assert_array_equal(found, expected)


@every_backend
def test_others_read_what_lies_on_the_device(name: str, bundle: Bundle) -> None:
    import torch

    backend = open_backend(bundle, name, "cpu", 1)
    placed = backend.run_placed("query_encoder", some_queries(bundle, bundle.table))["queries"]
    np.testing.assert_array_equal(torch.from_dlpack(placed).numpy(), placed.numpy())
    np.testing.assert_array_equal(np.from_dlpack(placed), placed.numpy())


@every_backend
def test_an_array_says_where_it_lies_and_of_what_it_is(name: str, bundle: Bundle) -> None:
    backend = open_backend(bundle, name, "cpu", 1)
    assert backend.stream() == 0
    found = backend.run_placed("query_encoder", some_queries(bundle, bundle.table))["queries"]
    numbers = np.arange(12).reshape(3, 4)
    for array, dtype in ((found, "float32"), (backend.place(numbers), "int64"), (backend.place(numbers > 3), "bool")):
        assert array.dtype == np.dtype(dtype)
        size = array.dtype.itemsize * int(np.prod(array.shape))
        assert ctypes.string_at(array.pointer, size) == array.numpy().tobytes()


def test_every_backend_says_which_device_it_finds() -> None:
    found = base.devices_found()
    assert list(found) == list(BACKENDS)
    assert found["torch"] == TorchBackend.device_for("auto")


def test_a_backend_takes_what_another_placed(bundle: Bundle) -> None:
    inputs = some_queries(bundle, bundle.table)
    one, other = (open_backend(bundle, name, "cpu", 1) for name in ON_CPU)
    for backend, owner in ((one, other), (other, one)):
        found = backend.run("query_encoder", {**inputs, "table": owner.place(inputs["table"])})["queries"]
        np.testing.assert_array_equal(found, backend.run("query_encoder", inputs)["queries"])


@every_backend
def test_a_closed_backend_runs_nothing(name: str, bundle: Bundle) -> None:
    backend = open_backend(bundle, name, "cpu", 1)
    backend.close()
    with pytest.raises(BackendError, match="this model is closed"):
        backend.run_placed("query_encoder", {})


def pretend(monkeypatch: pytest.MonkeyPatch, **has_cuda: bool) -> None:
    """Backends by name, with or without a GPU; what they open is the choice itself."""
    for name, kind in (("onnxruntime", OnnxRuntimeBackend), ("torch", TorchBackend)):

        def device_for(device: str, cuda: bool = has_cuda[name]) -> str | None:
            if device == "auto":
                return "cuda" if cuda else "cpu"
            return device if device == "cpu" or cuda else None

        monkeypatch.setattr(kind, "device_for", device_for)
        monkeypatch.setattr(kind, "open", lambda bundle, device, threads, name=name: (name, device))


@pytest.mark.parametrize(
    ("onnxruntime", "torch", "precision", "device", "expected"),
    [
        (False, False, "fp32", "auto", "onnxruntime"),
        (False, False, "bf16", "auto", "torch"),
        (False, True, "fp32", "auto", "torch"),  # a CPU onnxruntime beside a CUDA torch
        (False, True, "fp32", "cuda", "torch"),
        (False, True, "fp32", "cuda:1", "torch"),
        (True, True, "bf16", "auto", "onnxruntime"),
        (False, True, "fp32", "cpu", "onnxruntime"),
        (False, False, "fp32", "cuda", "onnxruntime"),  # which says that there is none
    ],
)
def test_auto_takes_the_first_backend_that_has_the_device_and_the_precision(
    onnxruntime: bool, torch: bool, precision: str, device: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, onnxruntime=onnxruntime, torch=torch)
    assert base._first_choice(precision, device).name == expected


def test_a_new_backend_owes_what_the_class_says() -> None:
    class Half(Backend):
        name = "half"

    with pytest.raises(TypeError, match="abstract"):
        Half(None, "cpu", None)  # type: ignore[abstract, arg-type]


@pytest.mark.parametrize("device", ["gpu", "cpu:0", "cuda:x"])
def test_an_unknown_device_is_refused_before_anything_is_opened(device: str, bundle: Bundle) -> None:
    with pytest.raises(BackendError, match="unknown device"):
        open_backend(bundle, "auto", device)
