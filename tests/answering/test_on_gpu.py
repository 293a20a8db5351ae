"""The device path on a real GPU. Nobody has run these yet: without a GPU they skip, and say why."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

import mmkg_sdk
from mmkg_sdk import BackendError, Linker, Mention, Model
from mmkg_sdk.backends.onnxruntime import OnnxRuntimeBackend
from mmkg_sdk.backends.torch import TorchBackend
from mmkg_sdk.evaluation.link_prediction import evaluate_bundle, evaluate_run
from mmkg_sdk.families.built import built_model
from mmkg_sdk.families.contract import config_part
from mmkg_sdk.kernels.gpu import gpu_kernels_absence
from mmkg_sdk.ranking.known_triples import Queries
from mmkg_sdk.run import Run

pytestmark = pytest.mark.gpu
needs_torch = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch finds")
BACKENDS = [
    pytest.param("torch", marks=needs_torch),
    pytest.param(
        "onnxruntime",
        marks=pytest.mark.skipif(
            OnnxRuntimeBackend.device_for("cuda") is None, reason="needs an NVIDIA GPU and onnxruntime-gpu"
        ),
    ),
    pytest.param(
        "auto",
        marks=pytest.mark.skipif(
            bool(gpu_kernels_absence("cuda")), reason=f"needs the CUDA kernels: {gpu_kernels_absence('cuda')}"
        ),
    ),
]
every_backend = pytest.mark.parametrize("backend", BACKENDS)
HEADS = np.arange(40)


@pytest.fixture(scope="module")
def expected(golden_bundle: Path) -> Iterator[Model]:
    with mmkg_sdk.load(golden_bundle, "onnxruntime", "cpu", threads=1) as model:
        assert isinstance(model, Model)
        yield model


@every_backend
def test_answers_are_the_cpus(backend: str, golden_bundle: Path, expected: Model) -> None:
    with Model.load(golden_bundle, backend, "cuda") as model:
        scores = expected.score_tails(HEADS, HEADS % 7)
        np.testing.assert_allclose(model.score_tails(HEADS, HEADS % 7), scores, rtol=1e-4, atol=1e-4)
        for row, ranking in enumerate(model.predict_tails(HEADS, HEADS % 7, k=10, filter_known=False)):
            wanted = np.sort(scores[row])[::-1][:10]
            np.testing.assert_allclose(ranking.scores, wanted, rtol=1e-4, atol=1e-4)
            np.testing.assert_allclose(scores[row][ranking.ids], wanted, rtol=1e-4, atol=1e-4)


@every_backend
def test_threads_do_not_read_each_others_vectors(backend: str, golden_bundle: Path) -> None:
    with Model.load(golden_bundle, backend, "cuda") as model:
        wanted = [model.predict_tails(head, head % 7, k=3, filter_known=False).to_json() for head in range(40)]
        with ThreadPoolExecutor(16) as pool:
            asked = [head for _ in range(25) for head in range(40)]
            found = pool.map(lambda head: model.predict_tails(head, head % 7, k=3, filter_known=False).to_json(), asked)
            for head, answer in zip(asked, found, strict=True):
                labels = [[one["label"] for one in row["answers"]] for row in answer]
                assert labels == [[one["label"] for one in row["answers"]] for row in wanted[head]]


@needs_torch
@every_backend
def test_torch_reads_query_vectors_where_they_lie(backend: str, golden_bundle: Path) -> None:
    queries = Queries(HEADS, HEADS % 7, HEADS % 2)
    with Model.load(golden_bundle, backend, "cuda") as model:
        with ThreadPoolExecutor(1) as pool:  # a thread that has ended by the time that its vectors are read
            placed = pool.submit(model.placed_query_vectors, queries).result()
        tensor = torch.from_dlpack(placed)  # type: ignore[arg-type]
        assert tensor.device.type == "cuda"
        assert tensor.data_ptr() == placed.pointer
        np.testing.assert_allclose(tensor.cpu().numpy(), model.query_vectors(queries), rtol=1e-5, atol=1e-5)


@every_backend
def test_ranks_are_the_cpus(backend: str, golden_bundle: Path, expected: Model) -> None:
    with Model.load(golden_bundle, backend, "cuda") as model:
        found, wanted = (evaluate_bundle(one, "test", None).metrics() for one in (model, expected))
        assert found["mrr"] == pytest.approx(wanted["mrr"], abs=1e-3)


@needs_torch
def test_a_runs_ranks_are_counted_on_the_gpu(golden_run: Run) -> None:
    config = config_part(golden_run.family).Config.from_json(golden_run.config)
    model = built_model(golden_run, config)
    found, wanted = (evaluate_run(golden_run, model.to(device), "test").metrics() for device in ("cuda", "cpu"))
    assert found["mrr"] == pytest.approx(wanted["mrr"], abs=1e-3)


@every_backend
def test_mentions_are_linked_as_on_the_cpu(backend: str, small_bundle: Path) -> None:
    mentions = [Mention("Georgia", f"Georgia, sentence {row}.") for row in range(70)]
    with Linker.load(small_bundle, "onnxruntime", "cpu") as host, Linker.load(small_bundle, backend, "cuda") as linker:
        wanted = host.score_mentions(mentions)
        np.testing.assert_allclose(linker.score_mentions(mentions), wanted, rtol=1e-3, atol=1e-3)
        some = linker.score_mentions(mentions[:3], candidates=[0, 4])
        np.testing.assert_allclose(some, wanted[:3, [0, 4]], rtol=1e-3, atol=1e-3)


@needs_torch
def test_memory_that_there_is_not_is_an_error_and_the_next_call_works(golden_bundle: Path) -> None:
    with Model.load(golden_bundle, "torch", "cuda") as model:
        assert isinstance(model.backend, TorchBackend)
        endless = np.lib.stride_tricks.as_strided(np.zeros(1, np.float32), (1 << 40,), (0,))
        with pytest.raises((BackendError, MemoryError)):
            model.backend.place(endless)
        assert len(model.predict_tails(0, 0, k=3)[0]) == 3
