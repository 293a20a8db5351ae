"""What the driver says of GPUs: nvidia-smi is a script of this test, with made-up lines in the form that it has."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmkg_sdk.bench.machine.environment import environment
from mmkg_sdk.bench.machine.gpus import gpu_absence, gpu_facts, gpu_names, system_name
from mmkg_sdk.errors import BackendError

LINE = (
    "A Made-up GPU, 999.01, 9.0, 81559, 345, 1980, 2619, 2619, 700.00, 31, Enabled, Enabled, [N/A], 0x0000000000000001"
)


@pytest.fixture
def smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Writes what it was asked into a file beside it."""
    program = tmp_path / "nvidia-smi"
    program.write_text(f'#!/bin/sh\necho "$@" > "{tmp_path}/asked"\necho "{LINE}"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("MMKG_CUDA_DRIVER", str(tmp_path / "no-driver.so"))
    return tmp_path / "asked"


def test_facts_are_numbers_where_they_are_any(smi: Path) -> None:
    found = gpu_facts(0)
    assert found is not None
    assert (found["name"], found["driver"], found["compute_capability"]) == ("A Made-up GPU", "999.01", "9.0")
    assert (found["memory_mib"], found["sm_mhz"], found["sm_mhz_max"], found["power_limit_w"]) == (
        81559,
        345,
        1980,
        700,
    )
    assert (found["persistence"], found["ecc"], found["mig"]) == ("Enabled", "Enabled", "[N/A]")
    assert found["cuda"] is None
    asked = smi.read_text()
    assert asked.endswith("-i 0\n")
    # Looked at, never set: no option of nvidia-smi that changes anything.
    assert {word.partition("=")[0] for word in asked.split() if word.startswith("-")} == {
        "--query-gpu",
        "--format",
        "-i",
    }


def test_hidden_gpus_are_asked_for_by_the_name_that_the_system_has(smi: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-8f2c")
    assert [system_name(index) for index in (0, 1, 2)] == ["3", "GPU-8f2c", "2"]
    gpu_facts(1)
    assert smi.read_text().endswith("-i GPU-8f2c\n")


def test_the_environment_of_a_measurement_on_a_gpu_has_them(smi: Path) -> None:
    assert environment(device="cuda:0")["gpu"]["name"] == "A Made-up GPU"
    assert "gpu" not in environment()
    assert gpu_names() == [LINE]
    with pytest.raises(BackendError, match="unknown device 'gpu0'"):
        environment(device="gpu0")


def test_a_tool_that_fails_or_says_something_else_gives_nothing(smi: Path) -> None:
    program = smi.with_name("nvidia-smi")
    program.write_text("#!/bin/sh\necho No devices were found\n")
    assert gpu_facts(0) is None
    program.write_text("#!/bin/sh\nexit 6\n")
    assert gpu_facts(0) is None
    assert gpu_names() == []


def test_a_machine_without_a_driver_says_so(smi: Path) -> None:
    assert "NVIDIA's driver is not installed here" in (gpu_absence() or "")


def test_a_library_that_is_no_driver_is_not_taken_for_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "libcuda.so.1").write_bytes(b"\x7fELF and nothing more")
    monkeypatch.setenv("MMKG_CUDA_DRIVER", str(tmp_path / "libcuda.so.1"))
    assert "NVIDIA's driver is not installed here" in (gpu_absence() or "")
