"""Every step's own code, on a processor in tiny sizes. Nothing here is a measurement of a GPU."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmkg_sdk.backends.tables import GpuRanking
from mmkg_sdk.bench.gpu_proof import exactness, queries, training
from mmkg_sdk.bench.gpu_proof.exactness import TINY, Case, check
from mmkg_sdk.bench.gpu_proof.job import Job
from mmkg_sdk.bench.gpu_proof.plan import PLAN
from mmkg_sdk.bench.gpu_proof.record import Record
from mmkg_sdk.bench.gpu_proof.shape import random_run
from mmkg_sdk.bench.gpu_proof.step import module_of
from mmkg_sdk.bundle import Bundle
from mmkg_sdk.errors import BackendError
from mmkg_sdk.families.mygo.compiled_query import CompiledQuery
from mmkg_sdk.kernels import Scan, library
from mmkg_sdk.ranking.exact import TopK

STEPS = {step.name: step for step in PLAN}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("proof")


def rehearsed(name: str, folder: Path, bundle: Path) -> list[dict[str, Any]]:
    """The rows of a step."""
    step = STEPS[name]
    record = Record(folder / f"{name}.json", {"step": name})
    module_of(step).run(Job(str(folder), 60.0, "cpu", True, step.argument, None, str(bundle)), record)
    rows: list[dict[str, Any]] = json.loads((folder / f"{name}.json").read_text())["rows"]
    return rows


def test_environment_leaves_ceilings_for_the_others(folder: Path, golden_bundle: Path) -> None:
    rows = rehearsed("environment", folder, golden_bundle)
    assert {name for row in rows for name in row} == {"tools", "kernels_absence", "energy", "ceilings"}
    ceilings = Job(str(folder), 1.0, "cpu", True, "", None, "").ceilings()
    assert ceilings.to_json() == rows[-1]["ceilings"]
    assert ceilings.arithmetic["bfloat16"].per_second


def test_kernels_are_right_on_the_processor(folder: Path, golden_bundle: Path) -> None:
    rows = rehearsed("kernels", folder, golden_bundle)
    assert len(rows) == len(TINY)
    for row in rows:
        assert row["right"]
        assert row["ordered"]
        assert row["same_twice"]
        assert row["equals_cpu"]
        assert row["ranks_equal_cpu"]


def test_queries_are_asked_in_both_ways(folder: Path, golden_bundle: Path) -> None:
    if isinstance(library(), str):
        pytest.skip("the library is not built")
    rows = rehearsed("queries", folder, golden_bundle)
    assert [row["batch"] for row in rows] == [1, 15]
    for row in rows:
        assert row["right"]
        assert row["equals_cpu"]
        assert row["graph_us_p50"] > 0
        assert row["launches_us_p50"] > 0


@pytest.mark.parametrize("wrong", ["a graph's score", "no graph"])
def test_a_graph_that_answers_otherwise_is_seen(
    wrong: str, folder: Path, golden_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if isinstance(library(), str):
        pytest.skip("the library is not built")

    class Wrong(GpuRanking):
        def __init__(self, table: Any, score: Any, *, device: str) -> None:
            super().__init__(Scan(table, score, storage="float32"), device)  # type: ignore[arg-type]

        table = Bundle.open(golden_bundle).table  # type: ignore[assignment]

        def top_k(self, queries: Any, k: int, excluded: Any = None, *others: Any) -> TopK:
            return self.kernels.top_k(queries, k, excluded)

        def captured_top_k(self, maker: Any, queries: Any, k: int, excluded: Any) -> TopK | None:
            found = self.top_k(maker.query_vectors(self.table, queries), k, excluded)
            return (
                None if wrong == "no graph" else replace(found, scores=np.nextafter(found.scores, np.float32(np.inf)))
            )

    monkeypatch.setattr(queries, "rank_table", Wrong)
    monkeypatch.setattr(CompiledQuery, "on_gpu", lambda self: self)
    with pytest.raises(SystemExit, match="wrong answers: batch 1, k 10; batch 15, k 10"):
        rehearsed("queries", folder, golden_bundle)


@pytest.mark.parametrize("wrong", ["another row", "order", "score", "an excluded row", "ranks"])
def test_wrong_answers_are_seen(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong:
        name, on_device = "wrong", True

        def __init__(self, table: Any, score: Any, *, device: str) -> None:
            self.scan, self.table = Scan(table, score, storage="float32"), table

        def top_k(self, queries: Any, k: int, excluded: Any) -> TopK:
            found = self.scan.top_k(queries, k, excluded)
            ids, scores = found.ids.copy(), found.scores.copy()
            if wrong == "another row":
                ids[0] = int(np.argmin(self.table @ queries[0]))
            elif wrong == "order":
                ids[:2], scores[:2] = ids[1::-1].copy(), scores[1::-1].copy()
            elif wrong == "score":
                scores[0] = np.nextafter(scores[0], np.float32(np.inf))
            elif wrong == "an excluded row":
                ids[found.offsets[-2]] = excluded.ids[-1]
            return TopK(found.offsets, ids, scores)

        def ranks(self, queries: Any, targets: Any, known: Any, protocol: Any) -> Any:
            found = self.scan.ranks(queries, targets, known, protocol)
            return replace(found, realistic=found.realistic + 1) if wrong == "ranks" else found

    monkeypatch.setattr(exactness, "rank_table", Wrong)
    assert not check(Case(5, 300, 10, False, 32), 7, "cpu", on_gpu=False)["right"]


def test_a_table_that_the_cpu_ranks_is_no_proof_of_a_gpu() -> None:
    with pytest.raises(BackendError, match="no kernels for cpu: 'cpu' is no CUDA device"):
        check(TINY[0], 1, "cpu", on_gpu=True)


def test_the_sanitizer_would_watch_cases_that_pass(folder: Path, golden_bundle: Path) -> None:
    (row,) = rehearsed("sanitizer", folder, golden_bundle)
    assert row["code"] == 0


@pytest.mark.parametrize("name", ["race-kernels", "race-torch", "race-onnxruntime"])
def test_races_have_times_and_right_answers(name: str, folder: Path, golden_bundle: Path) -> None:
    (row,) = rehearsed(name, folder, golden_bundle)
    assert row["status"] == "measured"
    assert row["latency_ms_p50"] > 0
    assert row["agreement"] >= (0.9 if name == "race-torch" else 1)


@pytest.mark.parametrize("name", ["race-flashlib", "race-jax"])
def test_a_peer_that_is_missing_or_runs_on_gpus_alone_says_so(name: str, folder: Path, golden_bundle: Path) -> None:
    package = STEPS[name].packages[0]
    pytest.importorskip("torch")
    try:
        __import__(package)
    except ImportError:
        with pytest.raises(BackendError, match=f"pip install '{package}"):
            rehearsed(name, folder, golden_bundle)
    else:
        pytest.skip(f"{package} is installed here")


def test_encoders_are_measured_by_the_benchmark_itself(folder: Path, golden_bundle: Path) -> None:
    rows = rehearsed("encoder", folder, golden_bundle)
    measured = {(row["contender"], row["mode"]) for row in rows if row["status"] == "measured"}
    assert {("kernels", "gpu-encode"), ("torch", "gpu-encode")} <= measured
    assert (folder / "bench-encoder" / "results.json").is_file()


def test_engines_that_cannot_be_are_a_reason(folder: Path, golden_bundle: Path) -> None:
    with pytest.raises(BackendError, match=r"(?i)tensorrt"):
        rehearsed("tensorrt", folder, golden_bundle)
    rows = json.loads((folder / "tensorrt.json").read_text())["rows"]
    assert rows
    assert all(row["status"] != "measured" and row["note"] for row in rows)


def test_a_bundle_that_was_not_made_is_said(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="holds no bundle"):
        rehearsed("encoder", folder, tmp_path / "none")


def test_training_steps_are_counted(folder: Path, golden_bundle: Path) -> None:
    (row,) = rehearsed("steps", folder, golden_bundle)
    assert row["precision"] == "fp32"
    assert row["steps_per_second"] > 0
    assert np.isfinite(row["loss"])


def test_a_training_ends_with_test_metrics(folder: Path, golden_bundle: Path) -> None:
    reached, tested = rehearsed("training", folder, golden_bundle)
    assert reached["epochs"] == 1
    assert 0 < tested["test"]["mrr"] <= 1
    assert tested["data"] == "atlas"
    job, record = Job(str(folder), 60.0, "cuda:0", False, "published", None, ""), Record(folder / "none.json", {})
    with pytest.raises(BackendError, match="Pass --data"):
        training.run(job, record)


def test_the_random_model_has_the_published_shape(tmp_path: Path) -> None:
    made = random_run(tmp_path / "run", rehearsed=True)
    assert made.config["num_visual_tokens"] == 8
    assert made.config["num_text_tokens"] == 4
    assert random_run(tmp_path / "run", rehearsed=True).config == made.config


def test_a_record_is_whole_after_every_row(tmp_path: Path) -> None:
    record = Record(tmp_path / "a.json", {"step": "a"})
    assert json.loads((tmp_path / "a.json").read_text()) == {"step": "a", "complete": False, "rows": []}
    record.add(value=float("nan"), much=float("inf"), parts=(1, {"x": 2.0}))
    found = json.loads((tmp_path / "a.json").read_text())
    assert found["rows"] == [{"value": "nan", "much": "inf", "parts": [1, {"x": 2.0}]}]
    record.finish()
    assert json.loads((tmp_path / "a.json").read_text())["complete"]


def test_the_bits_of_scores_are_compared() -> None:
    one = TopK(np.array([0, 1]), np.array([0]), np.array([0.0], np.float32))
    other = TopK(one.offsets, one.ids, np.array([-0.0], np.float32))
    assert exactness.is_same(one, one)
    assert not exactness.is_same(one, other)
