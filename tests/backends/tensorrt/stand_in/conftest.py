"""A bundle on a GPU that is none; see runtime.py, and kernels/gpu/fake_driver for the driver."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mmkg_sdk.backends.tensorrt import backend as backend_module
from mmkg_sdk.backends.tensorrt.backend import TensorRtBackend
from mmkg_sdk.backends.tensorrt.bindings import load_bindings
from mmkg_sdk.bundle import Bundle
from mmkg_sdk.kernels.cuda.triton.specs import all_kernels
from mmkg_sdk.kernels.gpu import Gpu
from mmkg_sdk.kernels.gpu import library as gpu_library
from tests.kernels.gpu.fake_driver.driver import FakeDriver, compile_driver
from tests.kernels.gpu.fake_driver.interpreted import InterpretedLaunches, fake_image
from tests.kernels.gpu.fake_driver.mended import mend_interpreter

from .runtime import Library, StreamWork, with_stand_in

# What the driver says that the GPU is: a kind that TensorRT for RTX knows.
CAPABILITY = 90


@dataclass(frozen=True)
class OpenedDriver:
    """The driver, and what runs its launches, to be kept."""

    driver: FakeDriver
    work: StreamWork


@dataclass
class StandIn:
    """What a test needs.

    Attributes:
        backend: on "cuda"; no graph is opened yet.
        cache: the folder of the engines.
    """

    bundle: Bundle
    backend: TensorRtBackend
    library: Library
    driver: FakeDriver
    cache: Path


@pytest.fixture(scope="session")
def _driver(tmp_path_factory: pytest.TempPathFactory) -> OpenedDriver:
    mend_interpreter()
    folder = tmp_path_factory.mktemp("driver")
    path = compile_driver(folder)
    os.environ["MMKG_CUDA_DRIVER"] = str(path)
    os.environ["FAKE_CUDA_CAPABILITY"] = str(CAPABILITY)
    gpu_library.IMAGE_FILE = folder / "image.bin"
    gpu_library.IMAGE_FILE.write_bytes(fake_image(all_kernels(), CAPABILITY))
    launches = InterpretedLaunches(all_kernels(), CAPABILITY)
    driver = FakeDriver(path)
    work = StreamWork(path, launches.launcher)
    driver.set_launcher(work.launcher)
    return OpenedDriver(driver, work)


@pytest.fixture(scope="session")
def _engines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that the tests of a session share, so that few engines are built."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def stand_in(_driver: OpenedDriver, _engines: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """Afterwards no memory was written past its ends, and no context left behind."""
    monkeypatch.setenv("MMKG_CACHE", str(_engines))
    bundle = Bundle.open(os.environ["TEST_BUNDLE"])
    bindings = load_bindings("tensorrt-rtx")
    driver = _driver.driver
    library = Library(bundle, _driver.work, lambda: driver.context_depth > 0, bindings.words.add)
    monkeypatch.setattr(backend_module, "load_bindings", lambda: with_stand_in(bindings, library))
    opened = TensorRtBackend.open(bundle, "cuda", None)
    yield StandIn(bundle, opened, library, driver, _engines)
    opened.close()
    driver.recover()
    assert driver.damaged == 0
    assert driver.context_depth == 0


@pytest.fixture
def gpu(stand_in: StandIn) -> Gpu:
    return Gpu.open(0)
