"""A GPU that is none: the library as it is, the stand-in for the driver, and the kernels in Triton's interpreter."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from mmkg_sdk.kernels import library
from mmkg_sdk.kernels.cuda.triton.specs import all_kernels
from mmkg_sdk.kernels.gpu import Gpu
from mmkg_sdk.kernels.gpu import library as gpu_library

from ..fake_driver.driver import FakeDriver, compile_driver
from ..fake_driver.interpreted import InterpretedLaunches, fake_image
from ..fake_driver.mended import mend_interpreter
from ..probe import PROBE

mend_interpreter()


@dataclass(frozen=True)
class FakeGpu:
    """What a test needs of it.

    Attributes:
        gpu: opened; `Gpu.open(0)` gives the same.
        driver: to make it fail.
        launches: what ran.
    """

    gpu: Gpu
    driver: FakeDriver
    launches: InterpretedLaunches


@pytest.fixture(scope="session")
def _opened(tmp_path_factory: pytest.TempPathFactory) -> FakeGpu:
    found = library()
    if isinstance(found, str):
        pytest.skip(found)
    folder = tmp_path_factory.mktemp("driver")
    path = compile_driver(folder)
    os.environ["MMKG_CUDA_DRIVER"] = str(path)
    target = int(os.environ.setdefault("FAKE_CUDA_CAPABILITY", "90"))
    kernels = (*all_kernels(), PROBE)
    gpu_library.IMAGE_FILE = folder / "image.bin"
    gpu_library.IMAGE_FILE.write_bytes(fake_image(kernels, target))
    driver, launches = FakeDriver(path), InterpretedLaunches(kernels, target)
    driver.set_launcher(launches.launcher)
    return FakeGpu(Gpu.open(0), driver, launches)


@pytest.fixture
def fake(_opened: FakeGpu) -> Iterator[FakeGpu]:
    """The GPU; afterwards no memory was written past its ends, and no context left behind."""
    _opened.launches.launched.clear()
    yield _opened
    _opened.driver.recover()
    assert _opened.driver.damaged == 0
    assert _opened.driver.context_depth == 0
