"""The backend from opening to answers, with stand-ins for the library's runtime and for the GPU."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from mmkg_sdk import BackendError, QueryError
from mmkg_sdk.answering.link_prediction import Model
from mmkg_sdk.backends import open_backend
from mmkg_sdk.backends.tensorrt.backend import TensorRtBackend
from mmkg_sdk.backends.tensorrt.bindings import load_bindings
from mmkg_sdk.backends.tensorrt.cache import EngineCache
from mmkg_sdk.backends.tensorrt.machine import Machine
from mmkg_sdk.backends.tensorrt.options import BuildOptions
from mmkg_sdk.backends.tensorrt.prepare import prepare_engine
from mmkg_sdk.backends.tensorrt.profiles import parse_buckets
from mmkg_sdk.backends.tensorrt.record import EngineRecord
from mmkg_sdk.kernels.gpu import Gpu
from tests.kernels.gpu.fake_driver.driver import OUT_OF_MEMORY

from .conftest import StandIn
from .runtime import EngineInvalidityDiagnostics

GRAPH = "query_encoder"


def queries(count: int, table: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
    rows = np.arange(count)
    return {"table": table, "entity": rows % len(table), "relation": rows % 7, "direction": rows % 2}


def expected(stand_in: StandIn, inputs: dict[str, np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    with_onnxruntime = open_backend(stand_in.bundle, "onnxruntime", "cpu", 1)
    found: np.ndarray[Any, Any] = with_onnxruntime.run(GRAPH, inputs)["queries"]
    return found


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of this test alone."""
    monkeypatch.setenv("MMKG_CACHE", str(tmp_path))
    return tmp_path


def build(stand_in: StandIn, *profiles: str) -> None:
    """An engine with these profiles, as `mmkg-sdk build-engine` builds it."""
    options = BuildOptions(buckets=parse_buckets(profiles))
    bindings = load_bindings("tensorrt-rtx")
    assert prepare_engine(bindings, stand_in.bundle, GRAPH, options, Machine(), EngineCache.open()).built


def test_it_is_opened_by_name_and_says_what_it_is(stand_in: StandIn) -> None:
    backend = open_backend(stand_in.bundle, "tensorrt", "auto")
    assert isinstance(backend, TensorRtBackend)
    assert (backend.name, backend.device) == ("tensorrt", "cuda")
    assert TensorRtBackend.device_for("auto") == "cuda"
    assert TensorRtBackend.device_for("cuda:0") == "cuda:0"
    assert TensorRtBackend.device_for("cuda:1") is None
    assert TensorRtBackend.device_for("cpu") is None
    assert TensorRtBackend.has_precision("bf16", "cuda")
    with pytest.raises(BackendError, match="there is no GPU 1"):
        open_backend(stand_in.bundle, "tensorrt", "cuda:1")
    with pytest.raises(BackendError, match="engines run on GPUs, and device 'cpu' was asked for"):
        open_backend(stand_in.bundle, "tensorrt", "cpu")


def test_auto_never_takes_it_even_if_only_it_has_a_gpu(stand_in: StandIn) -> None:
    assert open_backend(stand_in.bundle).name == "onnxruntime"


@pytest.mark.parametrize(("count", "profile"), [(1, 0), (2, 1), (7, 1), (256, 1), (257, 2)])
def test_each_batch_runs_in_its_bucket_and_gives_what_the_graph_gives(
    count: int, profile: int, stand_in: StandIn
) -> None:
    inputs = queries(count, stand_in.bundle.table)
    found = stand_in.backend.run(GRAPH, inputs)["queries"]
    assert stand_in.library.runs == [(GRAPH, profile)]
    np.testing.assert_allclose(found, expected(stand_in, inputs), rtol=1e-5, atol=1e-6)
    assert stand_in.library.opened == [GRAPH]


def test_what_was_placed_is_read_where_it_is(stand_in: StandIn, gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = queries(3, stand_in.bundle.table)
    placed = stand_in.backend.place(inputs["table"])
    entities = stand_in.backend.run_placed("entity_encoder", _some_entities(stand_in))["vectors"]
    assert entities.__dlpack_device__() == (2, gpu.index)
    copied: list[tuple[int, ...]] = []
    array = Gpu.array

    def counted(self: Gpu, host: np.ndarray[Any, Any], stream: Any = None) -> Any:
        copied.append(host.shape)
        return array(self, host, stream)

    monkeypatch.setattr(Gpu, "array", counted)
    found = stand_in.backend.run(GRAPH, {**inputs, "table": placed})["queries"]
    assert copied == [(3,), (3,), (3,)]
    np.testing.assert_allclose(found, expected(stand_in, inputs), rtol=1e-5, atol=1e-6)
    chained = stand_in.backend.run(GRAPH, {**queries(3, entities.numpy()), "table": entities})["queries"]
    np.testing.assert_allclose(chained, expected(stand_in, queries(3, entities.numpy())), rtol=1e-5, atol=1e-6)


def _some_entities(stand_in: StandIn) -> dict[str, Any]:
    from mmkg_sdk.families.mygo.runtime import bundle_entities

    return dict(bundle_entities(stand_in.bundle).rows(slice(0, 4)))


def test_a_batch_beyond_the_profiles_is_cut(stand_in: StandIn, own_cache: Path) -> None:
    build(stand_in, "batch=1,2:3:4")
    inputs = queries(10, stand_in.bundle.table)
    found = stand_in.backend.run(GRAPH, inputs)["queries"]
    # Four, four and two; the second four are a graph, whose engine runs once before.
    assert stand_in.library.runs == [(GRAPH, 1)] * 4
    np.testing.assert_allclose(found, expected(stand_in, inputs), rtol=1e-5, atol=1e-6)
    stand_in.library.runs.clear()
    placed = {name: stand_in.backend.place(array) for name, array in queries(5, stand_in.bundle.table).items()}
    found = stand_in.backend.run(GRAPH, placed)["queries"]
    assert stand_in.library.runs == [(GRAPH, 1), (GRAPH, 0)]
    np.testing.assert_allclose(found, expected(stand_in, queries(5, stand_in.bundle.table)), rtol=1e-5, atol=1e-6)


def test_other_sizes_beyond_the_profiles_are_refused_with_the_limits(stand_in: StandIn, own_cache: Path) -> None:
    build(stand_in, "batch=2:2:64", "num_entities=1:10:39")
    with pytest.raises(QueryError, match=r"of query_encoder takes num_entities 1 to 39, batch 2 to 64; given are"):
        stand_in.backend.run(GRAPH, queries(4, stand_in.bundle.table))
    with pytest.raises(QueryError, match=r"given are num_entities 20, batch 1\. .*build-engine --profile"):
        stand_in.backend.run(GRAPH, queries(1, stand_in.bundle.table[:20]))
    inputs = queries(4, stand_in.bundle.table[:20])
    found = stand_in.backend.run(GRAPH, inputs)["queries"]
    np.testing.assert_allclose(found, expected(stand_in, inputs), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"table": np.zeros((3, 31), np.float32)}, r"takes table of shape \['num_entities', 32\]; given is \[3, 31\]"),
        ({"table": np.zeros((3, 32), np.float64)}, "takes table as float32; given is float64"),
        ({"table": np.zeros(32, np.float32)}, r"given is \[32\]"),
        ({"entity": np.zeros(2, np.int64)}, r"takes relation of shape \['batch'\]; given is \[3\]"),
        ({"entity": np.zeros(3, np.int32)}, "takes entity as int64; given is int32"),
        ({"more": np.zeros(3)}, "takes table, entity, relation, direction; given are .*more"),
    ],
)
def test_inputs_that_do_not_fit_reach_no_engine(change: dict[str, Any], message: str, stand_in: StandIn) -> None:
    inputs = queries(3, stand_in.bundle.table)
    with pytest.raises(QueryError, match=message):
        stand_in.backend.run(GRAPH, inputs | change)
    with pytest.raises(QueryError, match="takes table, entity"):
        stand_in.backend.run(GRAPH, {"table": inputs["table"]})
    assert stand_in.library.runs == []
    assert stand_in.backend.run(GRAPH, inputs)["queries"].shape == (3, 32)


def test_threads_have_streams_and_contexts_of_their_own(stand_in: StandIn) -> None:
    def ask(number: int) -> int:
        inputs = queries(number + 1, stand_in.bundle.table)
        found = stand_in.backend.run(GRAPH, inputs)["queries"]
        np.testing.assert_allclose(found, expected(stand_in, inputs), rtol=1e-5, atol=1e-6)
        return stand_in.backend.stream()

    with ThreadPoolExecutor(6) as pool:
        streams = set(pool.map(ask, range(18)))
    assert len(streams) > 1
    assert stand_in.library.opened == [GRAPH]
    assert stand_in.backend.stream() not in streams


def test_an_engine_of_the_cache_that_is_not_taken_is_built_again(
    stand_in: StandIn, own_cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    build(stand_in)
    (engine,) = own_cache.rglob("*.engine")
    built = engine.stat().st_mtime_ns
    again = TensorRtBackend.open(stand_in.bundle, "cuda", None)
    stand_in.library.invalid[stand_in.library.asked] = int(EngineInvalidityDiagnostics.VERSION_MISMATCH)
    with caplog.at_level(logging.WARNING):
        again.run(GRAPH, queries(1, stand_in.bundle.table))
    said = [record.getMessage() for record in caplog.records if "discarded" in record.getMessage()]
    assert len(said) == 1
    assert "TensorRT for RTX says that it does not run here: VERSION_MISMATCH" in said[0]
    assert engine.stat().st_mtime_ns > built


def test_an_engine_that_was_just_built_and_is_not_taken_is_an_error(stand_in: StandIn, own_cache: Path) -> None:
    stand_in.library.invalid[0] = int(EngineInvalidityDiagnostics.UNSUPPORTED_CC)
    with pytest.raises(BackendError, match=r"was just built by tensorrt-rtx .* does not take it: .*UNSUPPORTED_CC"):
        stand_in.backend.prepare(GRAPH)
    stand_in.library.unopened = 2
    with pytest.raises(BackendError, match="could not be opened: Error Code 6: the engine is of another platform"):
        stand_in.backend.prepare(GRAPH)
    stand_in.backend.prepare(GRAPH)


def test_an_engine_that_memory_does_not_take_is_kept(stand_in: StandIn, caplog: pytest.LogCaptureFixture) -> None:
    stand_in.backend.prepare("entity_encoder")
    engines = sorted(stand_in.cache.rglob("*.engine"))
    again = TensorRtBackend.open(stand_in.bundle, "cuda", None)
    stand_in.library.unopened = 1
    stand_in.library.why_unopened = "Error Code 2: OutOfMemory (Requested size was 68719476736 bytes.)"
    with pytest.raises(BackendError, match=r"no memory to open the engine of entity_encoder, [\d,]+ bytes \(.* free"):
        again.prepare("entity_encoder")
    assert sorted(stand_in.cache.rglob("*.engine")) == engines
    assert not [record for record in caplog.records if "discarded" in record.getMessage()]
    again.prepare("entity_encoder")


def test_a_run_that_the_library_refuses_is_an_error_with_its_words(stand_in: StandIn) -> None:
    inputs = queries(2, stand_in.bundle.table)
    stand_in.library.refuse = "Error Code 7: something of the library's own"
    with pytest.raises(BackendError, match=r"query_encoder failed on cuda with inputs .*: Error Code 7: something"):
        stand_in.backend.run(GRAPH, inputs)
    assert stand_in.backend.run(GRAPH, inputs)["queries"].shape == (2, 32)


def test_memory_of_the_gpu_that_is_short_is_named(stand_in: StandIn) -> None:
    stand_in.driver.fail("cuMemAlloc", OUT_OF_MEMORY)
    with pytest.raises(BackendError, match=r"an array of 5,120 bytes could not be copied to cuda: .*5120"):
        stand_in.backend.place(np.zeros((40, 32), np.float32))
    stand_in.driver.recover()
    stand_in.backend.place(np.zeros((40, 32), np.float32))


def test_a_model_answers_as_it_does_on_the_cpu(stand_in: StandIn) -> None:
    model = Model(stand_in.bundle, stand_in.backend)
    with Model.load(stand_in.bundle.path, "onnxruntime", "cpu") as reference:
        heads = np.arange(6)
        for found, right in (
            (model.predict_tails(heads, heads % 7, k=3), reference.predict_tails(heads, heads % 7, k=3)),
            (model.predict_heads(heads % 7, heads, k=5), reference.predict_heads(heads % 7, heads, k=5)),
        ):
            for one, other in zip(found, right, strict=True):
                assert one.ids.tolist() == other.ids.tolist()
                np.testing.assert_allclose(one.scores, other.scores, rtol=1e-4, atol=1e-4)
    assert {graph for graph, _ in stand_in.library.runs} == {GRAPH}


def test_an_engine_without_weights_gets_those_of_the_bundle(stand_in: StandIn, own_cache: Path) -> None:
    """Of TensorRT for RTX there are none such, so one of its engines is said to be."""
    build(stand_in)
    cache = EngineCache.open()
    (path,) = own_cache.rglob("*.json")
    record = EngineRecord.of_bytes(path.read_bytes())
    key = replace(record.key, options={**record.key.options, "strip": True})
    with cache.lock(key):
        cache.put(key, path.with_suffix(".engine").read_bytes(), record.profiles, 1.0)
    stand_in.library.not_taken = next(iter(stored := stored_weights(stand_in)))
    with pytest.raises(BackendError, match=r"TensorRT does not take the [\d,]+ bytes of weight"):
        stand_in.backend.prepare(GRAPH)
    stand_in.library.not_taken = ""
    stand_in.backend.prepare(GRAPH)
    assert stand_in.library.weights == stored
    assert len(stored) > 5


def stored_weights(stand_in: StandIn) -> dict[str, bytes]:
    """Name -> bytes of the weights of the graph, as the package onnx finds them."""
    model = onnx.load_from_string(bytes(stand_in.bundle.files[f"{GRAPH}.onnx"]))
    places = {one.name: {entry.key: entry.value for entry in one.external_data} for one in model.graph.initializer}
    return {
        name: bytes(stand_in.bundle.files[place["location"]])[int(place["offset"]) :][: int(place["length"])]
        for name, place in places.items()
        if place
    }


def test_a_closed_backend_runs_nothing(stand_in: StandIn) -> None:
    stand_in.backend.run(GRAPH, queries(1, stand_in.bundle.table))
    stand_in.backend.close()
    with pytest.raises(BackendError, match="this model is closed"):
        stand_in.backend.run(GRAPH, queries(1, stand_in.bundle.table))
