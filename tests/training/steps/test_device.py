"""What is asked of a device before a training begins, and while it runs."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mmkg_sdk.errors import BackendError
from mmkg_sdk.training.session import start_training
from mmkg_sdk.training.steps.device import (
    check_memory,
    least_bytes,
    peak_memory_mib,
    refuse_too_large,
)
from mmkg_sdk.training.steps.precision import check_precision, use_tf32
from tests.places import ROOT
from tests.training.tiny import ENTITIES, RELATIONS, new_objective

CPU = torch.device("cpu")


def test_the_least_memory_counts_each_trained_number_four_times_and_a_frozen_one_once() -> None:
    trained = 8 * (ENTITIES + RELATIONS) + 2
    assert least_bytes(new_objective()) == 4 * (4 * trained + 3)


def test_too_large_a_model_is_refused_with_both_numbers() -> None:
    device = torch.device("cuda", 1)
    with pytest.raises(BackendError, match=r"takes 3,000 MiB, cuda:1 has 2,999 MiB free\. .*--device cpu"):
        refuse_too_large(3000 << 20, 2999 << 20, device)
    refuse_too_large(3000 << 20, 3000 << 20, device)


def test_the_cpu_is_not_asked_and_has_no_peak() -> None:
    check_memory(new_objective(), CPU)
    assert peak_memory_mib(CPU) is None


@pytest.mark.parametrize("precision", ["tf32", "fp16"])
def test_precisions_of_a_gpu_are_refused_on_the_cpu(precision: str) -> None:
    with pytest.raises(BackendError, match=f"precision '{precision}' needs a CUDA device"):
        check_precision(precision, CPU)
    check_precision(precision, "cuda:1")


def test_the_device_and_its_precision_are_looked_at_before_anything_is_read_or_written(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="device 'cuda:99' asked for"):
        start_training("mygo", "no such data", tmp_path / "run", settings={}, preset="db15k", device="cuda:99")
    settings = {"precision": "tf32"}
    with pytest.raises(BackendError, match="tf32"):
        start_training("mygo", "no such data", tmp_path / "run", settings=settings, preset="db15k", device="cpu")
    assert not (tmp_path / "run").exists()


def test_tf32_is_one_choice_for_products_and_convolutions() -> None:
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    try:
        for wanted, precision in ((True, "high"), (False, "highest")):
            use_tf32(wanted)
            assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32) == (precision, wanted)
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


# Prints what stays resident after a step, what five more take anew, and what is left at the end, as shares of a step's
# memory.
STEPS = """
import resource
from pathlib import Path
import torch
from mmkg_sdk.training.steps.device import keeping_freed_memory

size, page = 200 << 20, resource.getpagesize()
resident = lambda: int(Path("/proc/self/statm").read_text().split()[1]) * page
faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt * page

def one_step():
    return [torch.ones(size // 80) for _ in range(20)]  # 10 MiB each

one_step()
before = resident()
with keeping_freed_memory(torch.device("cpu")):
    one_step()
    kept, taken = resident() - before, faults()
    for _ in range(5):
        one_step()
    again = faults() - taken
print(kept / size, again / size, (resident() - before) / size)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="the C library is not glibc")
def test_what_a_step_frees_stays_for_the_next_one_and_goes_back_at_the_end() -> None:
    # In a process of its own: this one has freed memory enough already.
    done = subprocess.run([sys.executable, "-c", STEPS], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    kept, faults, left = map(float, done.stdout.split())
    assert kept > 0.8
    assert faults < 1  # of five
    assert left < 0.2
