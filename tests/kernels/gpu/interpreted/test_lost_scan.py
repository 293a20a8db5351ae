"""A kernel that goes astray; in a process of its own, since the GPU stays unusable."""

from __future__ import annotations

import numpy as np
import pytest

from mmkg_sdk.errors import BackendError
from mmkg_sdk.kernels.gpu import GpuScan
from mmkg_sdk.ranking.scores import InnerProduct

from ..fake_driver.driver import LAUNCH_FAILED
from .conftest import FakeGpu


def test_a_scan_fails_fast_once_a_kernel_went_astray(fake: FakeGpu) -> None:
    table = np.eye(3, dtype=np.float32)
    scan = GpuScan(table, InnerProduct())
    fake.driver.fail("cuLaunchKernel", LAUNCH_FAILED, after=2)
    with pytest.raises(BackendError, match=r"cannot launch CUDA kernel \w+: CUDA_ERROR_LAUNCH_FAILED"):
        scan.top_k(table, 1)
    fake.driver.recover()
    fake.launches.launched.clear()
    for _ in range(2):
        with pytest.raises(BackendError, match=r"lost earlier and needs a new process: cannot launch"):
            scan.top_k(table, 1)
    with pytest.raises(BackendError, match="lost earlier"):
        GpuScan(table, InnerProduct())
    assert not fake.launches.launched
