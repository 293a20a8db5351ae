"""The clock and the scans of `mmkg-sdk bench gpu`, with a stand-in for NVIDIA's driver: its times are of no GPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mmkg_sdk.answering.link_prediction import Model
from mmkg_sdk.backends.onnxruntime import OnnxRuntimeBackend
from mmkg_sdk.bench.gpu import timing
from mmkg_sdk.bench.gpu.calls import TURNS, PlacedQuery, querying
from mmkg_sdk.bench.gpu.cells import Cell
from mmkg_sdk.bench.gpu.kernel_scans import kernel_scans
from mmkg_sdk.bench.machine.clock import open_clock
from mmkg_sdk.bench.machine.gpus import DRIVER_VARIABLE, driver_cuda_version, gpu_absence
from mmkg_sdk.bundle import Bundle
from mmkg_sdk.errors import BackendError
from mmkg_sdk.kernels import Scan
from mmkg_sdk.ranking.scores import InnerProduct
from tests.answering.stand_in_gpu import StandInBackend

from .conftest import FakeGpu

ROWS, WIDTH, BATCH, K = 130, 64, 1, 3
QUERY = Cell("gpu-query", 5, "queries")


def test_the_driver_is_asked_which_gpus_there_are(fake: FakeGpu, monkeypatch: pytest.MonkeyPatch) -> None:
    assert gpu_absence(0) is None
    assert gpu_absence(1) == "there is no GPU 1: the driver sees 1"
    assert driver_cuda_version() == "13.0"
    monkeypatch.setenv(DRIVER_VARIABLE, "/nowhere/libcuda.so")
    assert "driver is not installed" in (gpu_absence(0) or "")
    assert driver_cuda_version() is None


def test_events_of_the_driver_are_a_clock(fake: FakeGpu) -> None:
    stream = fake.gpu.stream()
    clock = open_clock("device", "cuda:0", stream.handle, torch=False)
    assert clock.stream == stream.handle
    first = clock.mark()
    clock.flush_cache()
    assert clock.elapsed_ms(first, clock.mark()) >= 0
    clock.synchronize()
    filled = fake.gpu.array(np.zeros(4, np.uint8), stream)
    launch = clock.capture(lambda: None)
    launch()
    assert filled.numpy(stream).tolist() == [0, 0, 0, 0]


def test_the_default_stream_is_not_captured(fake: FakeGpu) -> None:
    with pytest.raises(BackendError, match="default stream cannot be captured"):
        open_clock("device", "cuda:0", 0, torch=False).capture(lambda: None)


def test_a_scan_is_timed_in_every_way_and_answers_as_the_cpu_does(
    fake: FakeGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "MIN_SAMPLES", 1)  # each takes the interpreter a while
    random = np.random.default_rng(5)
    table = random.standard_normal((ROWS, WIDTH), np.float32)
    turns = [random.standard_normal((BATCH, WIDTH), np.float32) for _ in range(TURNS)]
    scans = kernel_scans(table, InnerProduct(), "device", "cuda:0", 1)
    call = scans.call(turns, K)
    before = fake.driver.launches
    found = timing.timed(call, scans.clock(call), 1e-6, transfers=True)
    assert fake.driver.launches > before
    assert found.notes == {}
    for name in ("gpu", "gpu_warm", "gpu_graph", "enqueue", "host", "h2d", "d2h", "first"):
        assert getattr(found, name), name
    for turn, queries in enumerate(turns[1:2], start=1):
        call.load(turn)
        call.run()
        expected = Scan(table, InnerProduct(), storage="float32").top_k(queries, K)
        answers = call.fetch()
        assert answers["ids"].ravel().tolist() == expected.ids.tolist()
        assert answers["scores"].ravel().view(np.uint32).tolist() == expected.scores.view(np.uint32).tolist()


def test_query_vectors_are_timed_in_every_way_and_are_those_of_the_cpu(
    fake: FakeGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "MIN_SAMPLES", 1)
    bundle = Bundle.open(Path(__file__).parents[3] / "released" / "0.2.0" / "adamf_mat")
    model = Model(bundle, StandInBackend(bundle, "cuda", 1), compiled=True)
    on_cpu = Model(bundle, OnnxRuntimeBackend(bundle, "cpu", 1), compiled=True)
    call = querying(model, QUERY, 3, stand_in=True)
    assert isinstance(call, PlacedQuery)
    clock = open_clock("device", "cuda", model.backend.stream(), torch=False)
    fake.launches.launched.clear()
    found = timing.timed(call, clock, 1e-6, transfers=True)
    assert set(fake.launches.launched) == {"rotate"}
    assert found.notes == {}
    for name in ("gpu", "gpu_warm", "gpu_graph", "enqueue", "host", "h2d", "d2h", "first"):
        assert getattr(found, name), name
    expected = querying(on_cpu, QUERY, 3, stand_in=True)
    for turn in range(2):
        for one in (call, expected):
            one.load(turn)
            one.run()
        np.testing.assert_array_equal(call.fetch()["vectors"], expected.fetch()["vectors"])
    model.close()
    on_cpu.close()
