"""Questions one by one, in lists, as they arrive, and the first one of a fresh process; tests/families has tagging."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mmkg_sdk
from mmkg_sdk.bench.machine.worker_process import PointError
from mmkg_sdk.bench.sweep.cold_start import cold_start
from mmkg_sdk.bench.sweep.encoders import open_encoder
from mmkg_sdk.bench.sweep.measure import entity_rates, offline_rates, served
from mmkg_sdk.bench.sweep.places import chosen_batches
from mmkg_sdk.bench.sweep.questions import answers, asked_things, random_questions


@pytest.fixture(scope="module", params=["queries", "mentions", "mre"])
def bundle(
    request: pytest.FixtureRequest, golden_bundle: Path, small_bundle: Path, toys: Callable[[str], Path]
) -> Path:
    found = {"queries": golden_bundle, "mentions": small_bundle}
    return found.get(request.param) or toys(request.param) / "bundle"


@pytest.fixture(scope="module")
def opened(bundle: Path) -> Iterator[Any]:
    with mmkg_sdk.load(bundle, "onnxruntime", "cpu", threads=1) as found:
        yield found


def test_a_list_has_the_answers_of_its_questions(opened: Any) -> None:
    asked = list(islice(random_questions(opened, seed=0), 5))
    assert answers(opened, asked) == [answers(opened, [one])[0] for one in asked]
    again = list(islice(random_questions(opened, seed=0), 5))
    assert answers(opened, again) == answers(opened, asked)


def test_lists_and_arrivals_are_answered(opened: Any) -> None:
    rates = offline_rates(opened, 3, seconds=0.01, seed=0)
    assert (rates.batch, rates.items_per_sample) == (3, 3)
    assert len(rates.per_second) >= 3
    found = served(opened, 3, float(np.median(rates.per_second)) / 2, seconds=0.01, seed=0)
    assert len(found.latency_ms) >= 3
    assert min(found.latency_ms) > 0
    assert asked_things(opened.bundle.config.task) in ("queries", "mentions", "sentences")


def test_a_fresh_process_answers(bundle: Path) -> None:
    found = cold_start({"bundle": str(bundle), "backend": "onnxruntime", "device": "cpu", "threads": 1})
    assert 0 < found["import_ms"] + found["load_ms"] + found["answer_ms"] < found["first_answer_ms"]
    assert found["resident_mib"] is None or 30 < found["resident_mib"] <= found["peak_mib"] < 2000


def test_a_start_that_fails_says_why(tmp_path: Path, golden_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PointError, match=r"bundle\.json"):
        cold_start({"bundle": str(tmp_path), "backend": "onnxruntime", "device": "cpu", "threads": 1})
    (tmp_path / "onnxruntime.py").write_text("import os\nos.abort()")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(PointError, match="its process ended by signal 6"):
        cold_start({"bundle": str(golden_bundle), "backend": "onnxruntime", "device": "cpu", "threads": 1})


@pytest.mark.parametrize("batch", [1, 3, 700, None])
def test_an_encoder_runs_batches_of_the_size_asked_for(
    batch: int | None, golden_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mmkg_sdk.load(golden_bundle, "onnxruntime", "cpu", threads=1) as model:
        sizes: set[int] = set()
        run = model.backend.run

        def watched(graph: str, inputs: dict[str, Any]) -> dict[str, Any]:
            sizes.add(len(inputs["structure"]))
            outputs: dict[str, Any] = run(graph, inputs)
            return outputs

        monkeypatch.setattr(model.backend, "run", watched)
        encoder = open_encoder(model, "entity_encoder", {"backend": "onnxruntime", "device": "cpu", "rewrite": ""})
        rates = entity_rates(encoder, 5, batch, seconds=0.01, seed=0)
    assert sizes == {rates.batch}
    assert rates.batch == (batch or 2048 // 5)
    assert rates.items_per_sample % rates.batch == 0


def test_batch_sizes_are_for_encoders_of_entities(golden_bundle: Path, small_bundle: Path) -> None:
    mygo, mimic = mmkg_sdk.bundle.Bundle.open(golden_bundle), mmkg_sdk.bundle.Bundle.open(small_bundle)
    assert chosen_batches(mygo, None) == chosen_batches(mimic, None) == (None,)
    assert chosen_batches(mygo, [64, None, 64, 1]) == (64, None, 1)
    with pytest.raises(mmkg_sdk.QueryError, match="which mimic bundles have not"):
        chosen_batches(mimic, [64])
    for wrong in ([], [0], [True], [2.0], [65537]):
        with pytest.raises(mmkg_sdk.QueryError, match="batch size"):
            chosen_batches(mygo, wrong)  # type: ignore[arg-type]
