"""Every library that starts threads gets the number that was asked for, or the SDK's default."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from mmkg_sdk.backends import open_backend, use_torch_threads
from mmkg_sdk.backends.onnxruntime_sessions import session_options
from mmkg_sdk.bundle import Bundle
from mmkg_sdk.kernels import instruction_sets
from mmkg_sdk.training.seeding import repeatable


@pytest.fixture(autouse=True)
def _torch_has_four_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _two_threads_are_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")


def test_a_session_has_what_is_asked_for_or_the_default() -> None:
    assert session_options(3).intra_op_num_threads == 3
    assert session_options(None).intra_op_num_threads == 2


def test_torch_has_what_is_asked_for_or_at_most_the_default() -> None:
    use_torch_threads()
    assert torch.get_num_threads() == 2
    use_torch_threads(5)
    assert torch.get_num_threads() == 5
    torch.set_num_threads(1)
    use_torch_threads()
    assert torch.get_num_threads() == 1  # whoever wants fewer gets fewer


def test_a_backend_gives_torch_the_default(golden_bundle: Path) -> None:
    open_backend(Bundle.open(golden_bundle), "torch", "cpu").prepare("query_encoder")
    assert torch.get_num_threads() == 2


def test_a_training_gives_torch_the_default_and_takes_it_back() -> None:
    with repeatable(None, torch.device("cpu")):
        assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == 4


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="this system does not list threads")
def test_kernels_start_no_more_threads_than_the_default() -> None:
    if not instruction_sets():
        pytest.skip("the library was not built")
    code = (
        "import os; import numpy as np\n"
        "from mmkg_sdk.kernels import Scan; from mmkg_sdk.ranking.scores import InnerProduct\n"
        "before = len(os.listdir('/proc/self/task')); table = np.ones((4000, 8), np.float32)\n"
        "Scan(table, InnerProduct()).top_k(table[:64], 3); print(len(os.listdir('/proc/self/task')) - before)"
    )
    environment = os.environ | {"OMP_NUM_THREADS": "3"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "2"  # the caller is the third
