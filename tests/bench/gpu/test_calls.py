"""The stages as the SDK does them, on a processor."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmkg_sdk import load
from mmkg_sdk.bench.gpu.calls import TURNS, GraphCall, LabelCall, PlacedEncoding, encoding, querying
from mmkg_sdk.bench.gpu.cells import Cell, cells_of
from mmkg_sdk.bench.gpu.timing import timed
from mmkg_sdk.bench.machine.clock import HostClock
from mmkg_sdk.bench.sweep.counts import random_entities
from mmkg_sdk.errors import BackendError
from mmkg_sdk.families.mygo.compiled_encoder import CompiledEncoder

ENCODE = Cell("gpu-encode", 5, "entities", token_count=6)


@pytest.fixture(scope="module")
def model(golden_bundle: Path) -> Any:
    with load(golden_bundle, "onnxruntime", "cpu", threads=1) as opened:
        yield opened


def test_entities_on_a_device_are_encoded_where_they_lie(model: Any) -> None:
    class OnDevice:
        """In place of kernels of a GPU: the graph, whose arrays stay with the backend."""

        def placed_vectors(self, inputs: Mapping[str, Any], stream: int) -> Any:
            return model.backend.run_placed("entity_encoder", inputs)["vectors"]

        def encode(self, batch: Any) -> dict[str, Any]:
            raise NotImplementedError

    batches = [random_entities(model.bundle, 6, 5, turn) for turn in range(TURNS)]
    call = PlacedEncoding(model.backend, OnDevice(), [batch.arrays for batch in batches])
    for turn in (0, 3):
        call.load(turn)
        call.run()
        expected = model.encode_batch(batches[turn], "entity_encoder")["vectors"]
        assert np.array_equal(call.fetch()["vectors"], expected)


def test_onnx_runtime_is_timed_without_its_own_graphs_and_then_with_them(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = encoding(model, ENCODE, 0, stand_in=False)
    ways: list[bool] = []
    run, captured = model.backend.run_placed, []
    monkeypatch.setattr(
        model.backend, "run_placed", lambda *given: ways.append(model.backend.cuda_graphs) or run(*given)
    )
    found = timed(call, HostClock(), 0.02, transfers=True)
    assert found.gpu
    assert found.gpu_graph == []
    assert found.notes["graph"] == "runs of entity_encoder_token_table on cpu are no CUDA graphs: the CPU has none."
    monkeypatch.setattr(model.backend, "capture", lambda *given: captured.append(given))
    plain = len(ways)
    found = timed(call, HostClock(), 0.02, transfers=True)
    assert len(captured) == 1
    assert len(found.gpu_graph) >= 5
    assert not any(ways[plain : plain + len(found.gpu) + len(found.gpu_warm)])
    assert all(ways[-len(found.host) - len(found.gpu_graph) :])


def test_kernels_of_a_processor_have_nothing_on_a_gpu(model: Any) -> None:
    encoder = CompiledEncoder(model.bundle, 1)
    assert encoder.placed_vectors({}, 0) is None


def test_turns_have_other_inputs_and_their_own_answers(model: Any) -> None:
    calls = [encoding(model, ENCODE, 0, stand_in=False), querying(model, Cell("gpu-query", 5, "q"), 0, stand_in=False)]
    calls.append(LabelCall(model, Cell("gpu-answer", 5, "q", k=3), 0))
    for call in calls:
        found = []
        for turn in (0, 1, 0):
            call.load(turn)
            call.run()
            (answer,) = call.fetch().values()
            found.append(answer)
        assert len(found[0]) == 5
        assert np.array_equal(found[0], found[2])
        assert not np.array_equal(found[0], found[1])


def test_a_graph_that_fails_is_an_error_of_the_backend(model: Any) -> None:
    call = GraphCall(model, "no_such_graph", [{}], "vectors")
    with pytest.raises(BackendError, match="no graph 'no_such_graph'"):
        call.run()


def test_cells_are_each_once_and_no_k_beyond_the_table(model: Any) -> None:
    found = cells_of(model.bundle, None, [2, 2], [3, 1000, 2000], [6, 4])
    assert [str(cell) for cell in found] == [
        "gpu-scan, batch 2, k=3",
        "gpu-scan, batch 2, k=40",
        "gpu-query, batch 2",
        "gpu-answer, batch 2, k=3",
        "gpu-answer, batch 2, k=40",
        "gpu-encode, batch 2, 4 tokens",
        "gpu-encode, batch 2, 6 tokens",
    ]
    assert {cell.batch for cell in cells_of(model.bundle, None, None, [1], [4])} == {1, 32, 256, 2048}
