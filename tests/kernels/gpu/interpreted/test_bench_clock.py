"""The clock and the scans of `mmkg-sdk bench gpu`, with a stand-in for NVIDIA's driver: its times are of no GPU."""

from __future__ import annotations

import numpy as np
import pytest

from mmkg_sdk.bench.gpu import timing
from mmkg_sdk.bench.gpu.calls import TURNS
from mmkg_sdk.bench.gpu.kernel_scans import kernel_scans
from mmkg_sdk.bench.machine.clock import open_clock
from mmkg_sdk.bench.machine.gpus import DRIVER_VARIABLE, driver_cuda_version, gpu_absence
from mmkg_sdk.errors import BackendError
from mmkg_sdk.kernels import Scan
from mmkg_sdk.ranking.scores import InnerProduct

from .conftest import FakeGpu

ROWS, WIDTH, BATCH, K = 130, 64, 1, 3


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
