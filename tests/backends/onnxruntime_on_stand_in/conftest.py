"""A bundle on ONNX Runtime's CUDA provider, which is a stand-in; see provider.py, and kernels/gpu/fake_driver."""

from __future__ import annotations

import ctypes
import gc
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from mmkg_sdk.backends import onnxruntime as backend_module
from mmkg_sdk.backends.onnxruntime import OnnxRuntimeBackend
from mmkg_sdk.backends.onnxruntime_sessions import open_session
from mmkg_sdk.bundle import Bundle
from mmkg_sdk.kernels.cuda.triton.specs import all_kernels
from mmkg_sdk.kernels.gpu import Gpu
from mmkg_sdk.kernels.gpu import library as gpu_library
from tests.backends.tensorrt.stand_in.runtime import StreamWork
from tests.kernels.gpu.fake_driver.driver import FakeDriver, compile_driver
from tests.kernels.gpu.fake_driver.interpreted import fake_image

from .provider import Provider

GRAPH = "query_encoder"


@dataclass
class StandIn:
    """What a test needs.

    Attributes:
        backend: on "cuda"; no graph is opened yet.
        plain: a session of the CPU provider, for what is expected.
    """

    bundle: Bundle
    backend: OnnxRuntimeBackend
    provider: Provider
    driver: FakeDriver
    plain: Any

    def inputs(self, count: int, first: int) -> dict[str, NDArray[Any]]:
        """Queries about entities from `first` on."""
        rows = np.arange(count)
        relations = len(self.bundle.relations)
        return {
            "table": self.bundle.table,
            "entity": (rows + first) % len(self.bundle.table),
            "relation": (3 * rows + first) % relations,
            "direction": rows % 2,
        }

    def ask(self, count: int, first: int, table: Any) -> None:
        """A batch, and whether its answer is right."""
        inputs = self.inputs(count, first)
        found = self.backend.run_placed(GRAPH, {**inputs, "table": table})["queries"]
        np.testing.assert_allclose(found.numpy(), self.plain.run(None, inputs)[0], rtol=1e-5, atol=1e-6)


@pytest.fixture(scope="session")
def _driver(tmp_path_factory: pytest.TempPathFactory) -> tuple[FakeDriver, StreamWork, Path]:
    folder = tmp_path_factory.mktemp("driver")
    path = compile_driver(folder)
    os.environ["MMKG_CUDA_DRIVER"] = str(path)
    os.environ["FAKE_CUDA_CAPABILITY"] = "90"
    gpu_library.IMAGE_FILE = folder / "image.bin"
    gpu_library.IMAGE_FILE.write_bytes(fake_image(all_kernels(), 90))
    driver = FakeDriver(path)
    work = StreamWork(path, lambda *_: 1)  # no kernel of ours is launched
    driver.set_launcher(work.launcher)
    return driver, work, path


@pytest.fixture
def stand_in(_driver: tuple[FakeDriver, StreamWork, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """Afterwards no memory was written past its ends, and neither a context nor a capture mode left behind."""
    driver, work, path = _driver
    bundle = Bundle.open(os.environ["TEST_BUNDLE"])
    plain = open_session(bundle, GRAPH, "cpu", 1)
    provider = Provider(ctypes.CDLL(str(path)), work.put)
    monkeypatch.setattr(backend_module, "_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    monkeypatch.setattr(backend_module, "has_no_gpu", lambda names: False)
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None)
    provider.install(monkeypatch)
    yield StandIn(bundle, OnnxRuntimeBackend.open(bundle, "cuda", 1), provider, driver, plain)
    driver.recover()
    gc.collect()
    assert driver.damaged == 0
    assert driver.context_depth == 0
    assert provider.driver.fake_capture_mode() == 0


@pytest.fixture
def table(stand_in: StandIn) -> Any:
    """The entities, placed."""
    return stand_in.backend.place(stand_in.bundle.table)


@pytest.fixture
def gpu(stand_in: StandIn) -> Gpu:
    return Gpu.open(0)
