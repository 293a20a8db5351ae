"""Bundles on a GPU that is none: one CUDA graph a call, one table, and what stays when it grows or closes."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mmkg_sdk.answering.link_prediction import Model
from mmkg_sdk.backends.captured import CapturedTopK
from mmkg_sdk.backends.onnxruntime import OnnxRuntimeBackend
from mmkg_sdk.backends.tables import GpuRanking
from mmkg_sdk.bundle import Bundle
from mmkg_sdk.errors import BackendError
from mmkg_sdk.kernels.gpu import Stream
from mmkg_sdk.kernels.gpu.arguments import TableOnGpu
from mmkg_sdk.ranking.known_triples import Queries
from tests.answering.stand_in_gpu import StandInBackend

from ..fake_driver.mended import rows_multiplied_alike
from .conftest import FakeGpu

BUNDLES = Path(__file__).parents[3] / "released" / "0.2.0"
ROW_BYTES = (16 * 4, 64 * 2)  # of the scan, for vectors of 8: padded to 16 in float32 and to 64 in bfloat16
TILE = 128


@pytest.fixture
def model(fake: FakeGpu) -> Iterator[Model]:
    gc.collect()  # what the tests before have left of GPU memory
    bundle = Bundle.open(BUNDLES / "mygo")
    with rows_multiplied_alike():
        yield Model(bundle, StandInBackend(bundle, "cuda", 1), compiled=True)


def by_launches(model: Model, monkeypatch: pytest.MonkeyPatch, *asked: object, **options: object) -> object:
    """Tails as they are found without a graph."""
    with monkeypatch.context() as patched:
        patched.setattr(CapturedTopK, "top_k", lambda *arguments: None)
        return model.predict_tails(*asked, **options).to_json()  # type: ignore[arg-type]


def test_a_model_answers_by_one_graph_for_each_size(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    captures: list[Stream] = []
    capture = Stream.capture
    monkeypatch.setattr(Stream, "capture", lambda stream: captures.append(stream) or capture(stream))
    for heads, options in (([0], {"k": 3}), ([5], {"k": 9}), ([8], {}), ([1], {"k": 2, "filter_known": False})):
        expected = by_launches(model, monkeypatch, heads, 1, **options)
        assert model.predict_tails(heads, 1, **options).to_json() == expected  # type: ignore[arg-type]
    assert 1 <= len(captures) <= 2  # with lists, and without
    known = len(captures)
    found = model.predict_tails(3, 0, k=2, candidates=[1, 4, 7])
    assert found.to_json() == by_launches(model, monkeypatch, 3, 0, k=2, candidates=[1, 4, 7])
    assert len(captures) == known


def test_one_table_lies_on_the_gpu(model: Model, fake: FakeGpu, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TableOnGpu, "copied", None)
    opened = fake.driver.memory_used
    assert model._stand_ins.query is not None
    model._stand_ins.query.on_gpu()  # reads the weights
    ready = fake.driver.memory_used
    assert ready > opened
    queries = Queries(np.arange(3), np.zeros(3, np.int64), np.arange(3) % 2)
    model.query_vectors(queries)
    model.placed_query_vectors(queries)
    model.predict_tails(0, 0, k=2, candidates=[1, 4, 7])
    assert fake.driver.memory_used == ready
    ranking = model._entities.ranking
    assert isinstance(ranking, GpuRanking)
    assert ranking.kernels.table_bytes == 9 * ROW_BYTES[0] + TILE * ROW_BYTES[1]


def test_a_model_that_has_grown_answers_from_its_new_table(
    model: Model, fake: FakeGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.predict_tails(0, 0, k=3)
    model.add_entities(["a new one"], visual_tokens=[[1, 2]], text_tokens=[[0]])
    model.query_vectors(Queries(*np.zeros((3, 1), np.int64)))
    grown = fake.driver.memory_used
    expected = by_launches(model, monkeypatch, ["a new one", "entity 0"], 1, k=10)
    assert fake.driver.memory_used == grown
    found = model.predict_tails(["a new one", "entity 0"], 1, k=10)
    assert found.to_json() == expected
    assert 9 in found[1].ids
    model.add_entities(["another"], visual_tokens=[[0]], text_tokens=[[1]])
    assert fake.driver.memory_used == grown + ROW_BYTES[0]  # what was captured is gone, and a tile has room


def test_a_closed_model_keeps_nothing_and_says_so(model: Model, fake: FakeGpu) -> None:
    model.predict_tails(0, 0, k=3)
    model.close()
    with pytest.raises(BackendError, match="this model is closed"):
        model.predict_tails(0, 0, k=3)
    bundle = model.bundle
    held = fake.driver.memory_used
    again = Model(bundle, StandInBackend(bundle, "cuda", 1), compiled=True)
    again.predict_tails(0, 0, k=3)
    assert fake.driver.memory_used > held
    again.close()
    assert fake.driver.memory_used == held


def test_adamf_mat_answers_by_one_graph_with_the_bits_of_the_cpu(fake: FakeGpu) -> None:
    bundle = Bundle.open(BUNDLES / "adamf_mat")
    model = Model(bundle, StandInBackend(bundle, "cuda", 1), compiled=True)
    on_cpu = Model(bundle, OnnxRuntimeBackend(bundle, "cpu", 1), compiled=True)
    for tails, options in (([0], {"k": 3}), ([5, 2, 1], {}), ([1], {"k": 2, "filter_known": False})):
        fake.launches.launched.clear()
        found = model.predict_heads(1, tails, **options)  # type: ignore[arg-type]
        assert fake.launches.launched.count("rotate") == 1
        assert found.to_json() == on_cpu.predict_heads(1, tails, **options).to_json()  # type: ignore[arg-type]
    queries = Queries(np.arange(3), np.zeros(3, np.int64), np.arange(3) % 2)
    np.testing.assert_array_equal(model.query_vectors(queries), on_cpu.query_vectors(queries))
    placed = model.placed_query_vectors(queries)
    np.testing.assert_array_equal(placed.numpy(), on_cpu.query_vectors(queries))
    expected = on_cpu.predict_tails(3, 0, k=2, candidates=[1, 4, 7])
    assert model.predict_tails(3, 0, k=2, candidates=[1, 4, 7]).to_json() == expected.to_json()
    features = {name: bundle.inputs[name][4:5] for name in ("structure", "visual_features", "text_features")}
    for opened in (model, on_cpu):
        opened.add_entities(["twin"], **features)
    assert model.predict_tails(["twin"], 1).to_json() == on_cpu.predict_tails(["twin"], 1).to_json()
    assert not {"query_encoder"} & set(model.backend._opened)
    model.close()
    on_cpu.close()
