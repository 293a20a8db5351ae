"""ONNX Runtime's CUDA graphs: what a CPU can show for real, and the rest with a stand-in in a process of its own."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from mmkg_sdk.answering.probes import _probe
from mmkg_sdk.backends.onnxruntime_cuda import node_providers
from mmkg_sdk.backends.onnxruntime_graphs import padded_shapes
from mmkg_sdk.backends.onnxruntime_sessions import open_session
from mmkg_sdk.backends.outside_weights import outside_weights, weight_arrays
from mmkg_sdk.bundle import Bundle
from mmkg_sdk.bundle.graph_specs import Axis, GraphSpec
from mmkg_sdk.kernels import library

HERE = Path(__file__).parent / "onnxruntime_on_stand_in"
RELEASED = sorted(path.parent for path in (Path(__file__).parents[1] / "released").glob("*/*/bundle.json"))
# What works on shapes and could not be done again by a launch.
ON_SHAPES = {"Shape", "Size", "Range", "ConstantOfShape", "NonZero", "Loop", "If"}
Arrays = dict[str, NDArray[Any]]


@pytest.fixture(scope="module", params=RELEASED, ids=lambda path: path.name)
def bundle(request: pytest.FixtureRequest) -> Bundle:
    """A bundle of every family and task, in miniature."""
    return Bundle.open(request.param)


def probes(bundle: Bundle) -> Iterator[tuple[GraphSpec, Arrays, Arrays]]:
    """Of each graph that the SDK runs: inputs, and what a session with free axes gives."""
    for name, spec in bundle.graphs.items():
        if name != "complete":
            inputs = dict(_probe(spec))
            outputs = [one.name for one in spec.outputs]
            found = open_session(bundle, name, "cpu", 1).run(outputs, inputs)
            yield spec, inputs, dict(zip(outputs, found, strict=True))


def close(bundle: Bundle) -> dict[str, float]:
    """In half precision a sum in another order may round to the next number."""
    return {"rtol": 1e-5, "atol": 1e-5} if bundle.precision == "fp32" else {"rtol": 2e-3, "atol": 2e-3}


def sizes_of(spec: GraphSpec, shapes: dict[str, tuple[int, ...]]) -> dict[str, int]:
    pairs = [pair for one in spec.exported_inputs for pair in zip(one.shape, shapes[one.name], strict=True)]
    return {axis.name: size for axis, size in pairs if isinstance(axis, Axis)}


def test_fixed_sizes_leave_no_arithmetic_on_shapes_and_change_no_answer(bundle: Bundle) -> None:
    for spec, inputs, expected in probes(bundle):
        shapes = {name: array.shape for name, array in inputs.items()}
        session = open_session(bundle, spec.name, "cpu", 1, sizes=sizes_of(spec, shapes))
        ((_, nodes),) = node_providers(session).items()
        assert not ON_SHAPES & set(nodes), spec.name
        assert ("Scan" in nodes) == (spec.name == "tag_encoder")
        found = dict(zip(expected, session.run(list(expected), inputs), strict=True))
        for name, output in expected.items():
            np.testing.assert_allclose(found[name], output, **close(bundle), err_msg=f"{spec.name} {name}")


def test_rows_that_fill_up_a_batch_change_no_answer(bundle: Bundle) -> None:
    rng = np.random.default_rng(3)
    for spec, inputs, expected in probes(bundle):
        # Of three rows, by which two more are filled up to four.
        asked = {
            one.name: np.concatenate([inputs[one.name], inputs[one.name][:1]])
            if isinstance(one.shape[0], Axis) and one.shape[0].name == spec.batch_axes()[0]
            else inputs[one.name]
            for one in spec.exported_inputs
        }
        shapes = padded_shapes(spec, asked)
        assert shapes is not None
        assert sizes_of(spec, dict(shapes))[spec.batch_axes()[0]] == 4
        filled = {}
        for name, array in asked.items():
            filled[name] = np.zeros(shapes[name], array.dtype)
            filled[name][: len(array)] = array
            if array.dtype == np.float32:
                filled[name][len(array) :] = rng.standard_normal(filled[name][len(array) :].shape)
        session = open_session(bundle, spec.name, "cpu", 1, sizes=sizes_of(spec, dict(shapes)))
        for name, output in zip(expected, session.run(list(expected), filled), strict=True):
            np.testing.assert_allclose(output[:2], expected[name], **close(bundle), err_msg=f"{spec.name} {name}")


def test_sessions_of_several_sizes_read_the_same_memory(bundle: Bundle) -> None:
    spec, inputs, expected = next(iter(probes(bundle)))
    weights = {name: array.copy() for name, array in weight_arrays(bundle, spec.name).items()}
    if bundle.precision != "bf16":
        assert weights.keys() == {one.name for one in outside_weights(bundle.files[spec.file_name])}
    # Over memory of ours, as on a GPU.
    values = {name: onnxruntime.OrtValue.ortvalue_from_numpy(array) for name, array in weights.items()}
    sizes = sizes_of(spec, {name: array.shape for name, array in inputs.items()})
    sessions = [open_session(bundle, spec.name, "cpu", 1, weights=values, sizes=one) for one in (None, sizes)]
    before = [session.run(list(expected), inputs) for session in sessions]
    for found in before:
        for name, output in zip(expected, found, strict=True):
            np.testing.assert_allclose(output, expected[name], **close(bundle))
    # The CPU provider packs what it multiplies by; all else it reads where it lies.
    changed = set()
    for name, array in weights.items():
        kept = array.copy()
        array[...] = kept + 1
        after = [session.run(list(expected), inputs) for session in sessions]
        seen = [
            any((a != b).any() for a, b in zip(one, other, strict=True))
            for one, other in zip(before, after, strict=True)
        ]
        array[...] = kept
        changed |= {name} if all(seen) else set()
    assert changed, "no weight is shared"


def test_a_name_that_the_graph_places_elsewhere_is_not_taken(bundle: Bundle) -> None:
    spec = next(iter(bundle.graphs.values()))
    model = bundle.files[spec.file_name]
    weights = list(outside_weights(model))
    assert {(one.location, one.length > 0) for one in weights} == {("weights.safetensors", True)}
    one = weights[0]
    places = f"{one.offset}".encode()
    moved = bytes(model).replace(places, f"{one.offset + 1}".rjust(len(places), "0")[: len(places)].encode(), 1)
    files = {**bundle.files, spec.file_name: memoryview(moved)}
    found = weight_arrays(Bundle(bundle.path, bundle.manifest, bundle.labels, bundle.tensors, files), spec.name)
    assert one.name not in found or next(outside_weights(memoryview(moved))).offset == one.offset


@pytest.mark.parametrize(("size", "filled"), [(1, 1), (2, 2), (3, 4), (17, 32), (32, 32), (33, None)])
def test_batches_are_filled_up_to_powers_of_two(size: int, filled: int | None) -> None:
    found = Bundle.open(next(path for path in RELEASED if path.name == "mygo")).graphs["query_encoder"]
    table, ids = np.zeros((9, found.inputs[0].sizes("min")[1]), np.float32), np.zeros(size, np.int64)
    inputs = {"table": table, "entity": ids, "relation": ids, "direction": ids}
    shapes = padded_shapes(found, inputs)
    assert (None if shapes is None else shapes["entity"][0]) == filled
    for wrong in ({**inputs, "entity": ids.astype(np.int32)}, {**inputs, "relation": ids[:-1]}, {"table": table}):
        assert padded_shapes(found, wrong) is None


def test_on_a_stand_in_for_the_provider() -> None:
    if importlib.util.find_spec("triton") is None:
        pytest.skip("Triton is not installed; the stand-in's image of kernels is made with it")
    if isinstance(library(), str):
        pytest.skip("the library is not built")
    # Conftests above load torch; nothing here needs it.
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--confcutdir", HERE, HERE]
    bundle = next(path for path in RELEASED if path.name == "mygo")
    settings = {"TRITON_INTERPRET": "1", "PYTEST_ADDOPTS": "", "TEST_BUNDLE": str(bundle)}
    done = subprocess.run(
        command, env={**os.environ, **settings}, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
