"""Queries and mentions that stay on a device between graph and ranking. No GPU takes part: backends run on the CPU
through the same code, and the kernels of the scan behind a stand-in for NVIDIA's driver, in a process of its own."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import mmkg_sdk
from mmkg_sdk import BackendError, Linker, Mention, Model
from mmkg_sdk.answering.entity_table import EntityTable, candidates_left, entity_chunk
from mmkg_sdk.backends import DeviceArray
from mmkg_sdk.backends.base import OutOfDeviceMemory
from mmkg_sdk.backends.tables import GpuRanking
from mmkg_sdk.kernels import Scan, library
from mmkg_sdk.ranking.exact import TopK
from mmkg_sdk.ranking.known_triples import AnswerLists, Queries
from tests.attacks.reseal import reseal
from tests.backends.on_cpu import ON_CPU

from .questions import questions


class ScanOnDevice(Scan):
    """The CPU's kernels, which here take only what lies on a "device"; scores of -infinity they drop, as all do."""

    def top_k(self, queries: Any, *arguments: Any) -> TopK:  # type: ignore[override]
        assert not isinstance(queries, np.ndarray)
        *arguments, stream = arguments  # type: ignore[assignment]
        assert stream == 0
        return super().top_k(queries.numpy(), *arguments)


def on_device(model: Model) -> Model:
    """The model as if its backend's device ranked."""
    if isinstance(library(), str):
        pytest.skip("the library is not built")
    entities = model._entities
    ranking = GpuRanking(ScanOnDevice(entities.table, model._score, 1), "cuda")  # type: ignore[arg-type]
    model._entities = replace(entities, ranking=ranking)
    return model


@pytest.fixture(scope="module", params=ON_CPU)
def models(request: pytest.FixtureRequest, golden_bundle: Path) -> Iterator[tuple[Model, Model]]:
    """One that ranks on a "device", and one that does not."""
    opened = [mmkg_sdk.load(golden_bundle, request.param, "cpu", threads=1) for _ in range(2)]
    yield on_device(opened[0]), opened[1]
    for model in opened:
        model.close()


def test_answers_are_the_same_wherever_the_vectors_stay(
    models: tuple[Model, Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    placed, host = models
    heads = np.arange(40)
    for arguments in ({"k": 5}, {"k": 40, "filter_known": False}, {"k": 3, "candidates": [1, 5, 7, 30]}):
        expected = host.predict_tails(heads, heads % 7, **arguments)  # type: ignore[arg-type]
        with monkeypatch.context() as patched:  # graphs that give their outputs to the host are not run
            patched.setattr(type(placed.backend), "run", None)
            found = placed.predict_tails(heads, heads % 7, **arguments)  # type: ignore[arg-type]
        assert found.to_json() == expected.to_json()


def test_query_vectors_are_read_where_they_lie(models: tuple[Model, Model]) -> None:
    model, _ = models
    rows = np.arange(40)
    queries = Queries(rows, rows % 7, rows % 2)
    placed = model.placed_query_vectors(queries)
    assert (placed.shape, placed.dtype) == ((40, 32), np.float32)
    np.testing.assert_array_equal(torch.from_dlpack(placed).numpy(), model.query_vectors(queries))  # type: ignore[arg-type]


def test_several_runs_of_the_query_graph_are_put_together(models: tuple[Model, Model]) -> None:
    model, _ = models
    rows = np.arange(300) % 40  # a run takes 256
    queries = Queries(rows, rows % 7, rows % 2)
    placed = model.placed_query_vectors(queries)
    assert placed.shape == (300, 32)
    np.testing.assert_array_equal(placed.numpy(), model.query_vectors(queries))


def test_the_stand_in_of_a_query_graph_gives_placed_vectors(golden_bundle: Path) -> None:
    with mmkg_sdk.load(golden_bundle, device="cpu", threads=1) as model:
        if not model.has_stand_ins:
            pytest.skip("the library is not built")
        queries = Queries(np.arange(5), np.arange(5), np.zeros(5, np.int64))
        np.testing.assert_array_equal(model.placed_query_vectors(queries).numpy(), model.query_vectors(queries))


@pytest.mark.parametrize("number", [np.nan, np.inf])
@pytest.mark.parametrize("backend", ON_CPU)
def test_vectors_that_are_not_finite_are_an_error_without_being_read(
    number: float, backend: str, golden_bundle: Path, tmp_path: Path
) -> None:
    from safetensors.numpy import load_file, save_file

    folder = tmp_path / "bundle"
    shutil.copytree(golden_bundle, folder)
    weights = load_file(folder / "weights.safetensors")
    core = next(name for name in weights if name.startswith("query_encoder.") and name.endswith("multiplied_core"))
    weights[core] = np.full_like(weights[core], number)
    save_file(weights, folder / "weights.safetensors")
    reseal(folder)
    with mmkg_sdk.load(folder, backend, "cpu", threads=1) as model:
        for k in (1, 40):
            with pytest.raises(BackendError, match=r"a score is NaN|query_encoder in fp32 gave NaN or infinity on cpu"):
                on_device(model).predict_tails(0, 0, k=k, filter_known=False)


def test_infinite_vectors_show_in_what_is_answered(
    models: tuple[Model, Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scores of +infinity come back; those of -infinity do not, and there are too few answers."""
    model, _ = models
    for sign in (1, -1):
        vectors = np.where(model.table[:1] == 0, 1, np.sign(model.table[:1])) * np.float32(sign) * np.inf
        same_sign = np.repeat(model.table[:1], 40, axis=0)  # a table of rows whose scores do not cancel
        ranking = GpuRanking(ScanOnDevice(same_sign, model._score, 1), "cuda")  # type: ignore[arg-type]
        entities = EntityTable(model.entities, {"vectors": same_sign}, ranking, len(same_sign))
        monkeypatch.setattr(model, "_placed_vectors", lambda *_, at=vectors: model.backend.place(at.astype(np.float32)))
        query = Queries(np.zeros(1, np.int64), np.zeros(1, np.int64), np.zeros(1, np.int64))
        with pytest.raises(BackendError, match="query_encoder in fp32 gave NaN or infinity on cpu"):
            model._best(entities, query, 3, None, None)


def test_how_many_candidates_are_left() -> None:
    excluded = AnswerLists(np.array([0, 2, 2, 5]), np.array([0, 4, 1, 4, 6]))
    assert candidates_left(7, 3, None, None).tolist() == [7, 7, 7]
    assert candidates_left(7, 3, excluded, None).tolist() == [5, 7, 4]
    assert candidates_left(3, 3, excluded, np.array([1, 2, 4])).tolist() == [2, 3, 1]


def test_a_device_that_does_not_rank_says_who_does(golden_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with mmkg_sdk.load(golden_bundle, "onnxruntime", "cpu", threads=1) as model:
        assert "onnxruntime on cpu, '" in repr(model)
        monkeypatch.setattr(model.backend, "device", "cuda")
        assert f"onnxruntime on cuda, ranked by {model._entities.ranking.name}, '" in repr(model)
        assert model._entities.ranking.name.endswith("CPU") or "CPU's kernels" in model._entities.ranking.name


@pytest.mark.parametrize(
    ("tokens", "device", "expected"),
    [
        (14, "cpu", 146),
        (14, "cuda:1", 4096),
        (64, "cuda", 1024),
        (5000, "cpu", 1),
        (1 << 17, "cuda", 1),
        (1, "cpu", 2048),
    ],
)
def test_entities_are_encoded_in_larger_chunks_on_a_gpu(tokens: int, device: str, expected: int) -> None:
    assert entity_chunk(tokens, device) == expected


@pytest.mark.parametrize("most", [1, 3, 7, 40])
def test_entities_are_encoded_in_halves_where_memory_is_short(
    most: int, models: tuple[Model, Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, _ = models
    own = model._runtime.bundle_entities(model.bundle)
    assert own is not None
    expected = model.encode_batch(own)["vectors"]
    run, sizes = model.backend.run, []

    def short(graph: str, inputs: Any) -> Any:
        sizes.append(len(inputs["structure"]))
        if sizes[-1] > most:
            raise OutOfDeviceMemory("no memory")
        return run(graph, inputs)

    monkeypatch.setattr(model.backend, "run", short)
    np.testing.assert_allclose(model.encode_batch(own)["vectors"], expected, rtol=1e-5, atol=1e-6)
    assert sizes[0] == 40
    assert sum(size for size in sizes if size <= most) == 40
    most = 0
    with pytest.raises(OutOfDeviceMemory):
        model.encode_batch(own)


GEORGIA = [
    Mention("Georgia", "Georgia has old wine."),
    Mention("Jordan", "Jordan is a river."),
    Mention("Georgia", "A font."),
]


@pytest.fixture(params=ON_CPU)
def linkers(request: pytest.FixtureRequest, small_bundle: Path) -> Iterator[tuple[Linker, Linker]]:
    opened = [mmkg_sdk.load(small_bundle, request.param, "cpu", threads=1) for _ in range(2)]
    opened[0]._kind = "cuda"
    yield opened[0], opened[1]
    for linker in opened:
        linker.close()


def count_calls(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> list[Any]:
    calls: list[Any] = []
    original: Callable[..., Any] = getattr(owner, name)

    def counted(*arguments: Any) -> Any:
        calls.append(arguments)
        return original(*arguments)

    monkeypatch.setattr(owner, name, counted)
    return calls


def test_entities_are_placed_once_and_mentions_stay_between_the_graphs(
    linkers: tuple[Linker, Linker], monkeypatch: pytest.MonkeyPatch
) -> None:
    placed, host = linkers
    expected = host.score_mentions(GEORGIA)
    placing = count_calls(monkeypatch, placed.backend, "place")
    host_runs = count_calls(monkeypatch, placed.backend, "run")
    np.testing.assert_allclose(placed.score_mentions(GEORGIA), expected, rtol=1e-5, atol=1e-5)
    assert len(placing) == len(placed.bundle.encoded)  # one block of seven entities
    assert [graph for graph, *_ in host_runs] == ["image_encoder", "interaction"]  # the image that stands for none
    for name, given in host_runs[-1][1].items():
        assert not isinstance(given, np.ndarray), f"{name} came from the host"
    for _ in range(2):
        np.testing.assert_allclose(placed.score_mentions(GEORGIA), expected, rtol=1e-5, atol=1e-5)
    assert len(placing) == len(placed.bundle.encoded)


def test_candidates_that_are_named_travel_and_blocks_may_be_many(
    linkers: tuple[Linker, Linker], monkeypatch: pytest.MonkeyPatch
) -> None:
    placed, host = linkers
    some = [5, 0, 2]
    np.testing.assert_allclose(
        placed.score_mentions(GEORGIA, candidates=some),
        host.score_mentions(GEORGIA, candidates=some),
        rtol=1e-5,
        atol=1e-5,
    )
    monkeypatch.setattr(placed._entities.segments[0].placed, "size", 3)
    np.testing.assert_allclose(placed.score_mentions(GEORGIA), host.score_mentions(GEORGIA), rtol=1e-5, atol=1e-5)
    assert [block["entity_cls"].shape[0] for block in placed._entities.placed_blocks()] == [3, 3, 1]
    placed.close()
    with pytest.raises(BackendError, match="this model is closed"):
        placed.score_mentions(GEORGIA)


def test_a_picture_counts_on_a_device_too(linkers: tuple[Linker, Linker], tmp_path: Path) -> None:
    from tests.families.mimic.small import picture

    placed, host = linkers
    path = picture(tmp_path / "flag.png", 8)
    for images in ((path, None), (path, path)):
        mentions = [Mention("Georgia", "Old wine.", image) for image in images]
        np.testing.assert_allclose(placed.score_mentions(mentions), host.score_mentions(mentions), rtol=1e-5, atol=1e-5)


def test_on_torchs_meta_device_nothing_comes_to_the_host(golden_bundle: Path) -> None:
    """There are no numbers on it, so any copy to the host would be an error."""
    from mmkg_sdk.backends.torch import TorchBackend
    from mmkg_sdk.bundle import Bundle

    bundle = Bundle.open(golden_bundle)
    with mmkg_sdk.load(golden_bundle, "torch", "cpu", threads=1) as model:
        model.backend = TorchBackend(bundle, "meta", 1)
        asked = Queries(np.arange(9), np.arange(9) % 7, np.zeros(9, np.int64))
        placed: DeviceArray = model.placed_query_vectors(asked)
        assert (placed.shape, placed.dtype) == ((9, 32), np.float32)
        with pytest.raises(NotImplementedError, match="meta tensor"):
            placed.numpy()


@pytest.mark.parametrize("family", ["mygo", "adamf_mat"])
def test_from_ids_to_ids_on_a_gpu_that_is_none(
    family: str, golden_bundles: Callable[..., Path], tmp_path: Path
) -> None:
    """Binding, launcher in C and the kernels as written, in Triton's interpreter: the CPU's answers to the bit."""
    if importlib.util.find_spec("triton") is None:
        pytest.skip("Triton is not installed; its interpreter runs the kernels here")
    if isinstance(library(), str):
        pytest.skip("the library is not built")
    bundle = golden_bundles("db15k_like", "fp32", family)
    done = subprocess.run(
        [sys.executable, "-m", "tests.answering.stand_in_gpu", bundle, tmp_path],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    with mmkg_sdk.load(bundle, "onnxruntime", "cpu", threads=1) as model:
        expected = [[[row.ids.tolist(), row.scores.tolist()] for row in answer] for answer in questions(model)]
    assert found["graphs"]["answers"] == expected
    for row, wanted in zip(*found["kernels"]["answers"], expected[0], strict=True):
        assert row[0] == wanted[0]
        # The vectors of MyGO's kernels differ by rounding, as products of float32 in another order.
        np.testing.assert_allclose(row[1], wanted[1], rtol=1e-5 if family == "mygo" else 0)
    settle = "settle_rows" if family == "mygo" else "distance_settle"
    for way, answered in found.items():
        own = {"query_attention_128", "tucker_sum"} if family == "mygo" else {"rotate"}
        assert (way == "kernels") == (own <= set(answered["launched"]))
        assert settle in answered["launched"]
        assert answered["read_back"] == []  # query vectors stay
        assert answered["stream"] > 0
        assert "onnxruntime on cuda, ranked by the CUDA kernels on cuda" in answered["repr"]
