"""A GPU that is lost in use; in a process of its own, since the handle stays unusable."""

from __future__ import annotations

import os

import numpy as np
import pytest

from mmkg_sdk.errors import BackendError
from mmkg_sdk.kernels.gpu import Gpu, gpu_kernels_absence

from ..fake_driver.driver import ECC_UNCORRECTABLE
from .conftest import FakeGpu


def test_a_forked_child_is_refused(fake: FakeGpu) -> None:
    child = os.fork()
    if child == 0:
        try:
            Gpu.open(0)
        except BackendError as err:
            os._exit(0 if "before this process was forked" in str(err) else 2)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_lost_gpu_fails_fast_with_the_first_reason(fake: FakeGpu) -> None:
    array = fake.gpu.array(np.zeros(3, np.float32))
    fake.driver.fail("cuMemcpyDtoHAsync", ECC_UNCORRECTABLE)
    with pytest.raises(BackendError, match="copy from the GPU: CUDA_ERROR_ECC_UNCORRECTABLE"):
        array.numpy()
    # The stand-in would work again: the handle does not, and asks it no more.
    fake.driver.recover()
    for _ in range(2):
        with pytest.raises(BackendError, match=r"lost earlier and needs a new process.*ECC_UNCORRECTABLE"):
            array.numpy()
    with pytest.raises(BackendError, match="lost earlier"):
        Gpu.open(0)
    assert "lost earlier" in (gpu_kernels_absence("cuda") or "")
