"""A GPU that is lost in use; in a process of its own, as nothing brings a GPU back into one."""

from __future__ import annotations

import numpy as np
import pytest

from mmkg_sdk import BackendError
from tests.kernels.gpu.fake_driver.driver import LAUNCH_FAILED

from .conftest import StandIn
from .test_backend import GRAPH, queries


def test_after_the_gpu_was_lost_every_call_fails_at_once(stand_in: StandIn) -> None:
    inputs = queries(2, stand_in.bundle.table)
    placed = stand_in.backend.run_placed(GRAPH, inputs)["queries"]
    runs = len(stand_in.library.runs)
    stand_in.driver.fail("cuStreamSynchronize", LAUNCH_FAILED)
    with pytest.raises(BackendError, match="CUDA_ERROR_LAUNCH_FAILED"):
        placed.numpy()
    for call in (
        lambda: stand_in.backend.run(GRAPH, inputs),
        lambda: stand_in.backend.place(np.zeros(3, np.float32)),
        lambda: stand_in.backend.prepare("entity_encoder"),
    ):
        with pytest.raises(BackendError, match="CUDA_ERROR_LAUNCH_FAILED"):
            call()
    assert len(stand_in.library.runs) == runs
