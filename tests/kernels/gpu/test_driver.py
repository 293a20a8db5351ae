"""What is said when the driver, a GPU or kernels for it are missing; each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmkg_sdk.kernels import library

from .fake_driver.driver import compile_driver

OLD_DRIVER = "int cuDriverGetVersion(int *v) { return *v = 13000, 0; } int cuInit(unsigned f) { return f; }\n"
SAY = """
import mmkg_sdk.kernels.gpu.library as gpu_library
from pathlib import Path
gpu_library.IMAGE_FILE = Path({image!r})
from mmkg_sdk.kernels.gpu import gpu_kernels_absence
print(gpu_kernels_absence("cuda:0"))
"""


@pytest.fixture(scope="module", autouse=True)
def _built() -> None:
    found = library()
    if isinstance(found, str):
        pytest.skip(found)


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_driver(tmp_path_factory.mktemp("driver"))


@pytest.fixture(scope="module")
def no_kernels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole image without kernels."""
    from mmkg_sdk.kernels.cuda.triton.image import image

    path = tmp_path_factory.mktemp("image") / "none.bin"
    path.write_bytes(image([]))
    return path


def said(image: Path, **variables: str) -> str:
    """Why there are no kernels for cuda:0."""
    done = subprocess.run(
        [sys.executable, "-c", SAY.format(image=str(image))],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.strip()


def test_a_missing_driver_is_named(no_kernels: Path, tmp_path: Path) -> None:
    text = said(no_kernels, MMKG_CUDA_DRIVER=str(tmp_path / "libcuda.so.1"))
    assert text.startswith("the NVIDIA driver library")
    assert "libcuda.so.1 was not found: install NVIDIA's driver" in text


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"FAKE_CUDA_VERSION": "11080"}, "the NVIDIA driver is for CUDA 11.8; expected 12.0 or newer"),
        ({"FAKE_CUDA_DEVICES": "0"}, "cannot start the NVIDIA driver: CUDA_ERROR_NO_DEVICE"),
        ({"FAKE_CUDA_CAPABILITY": "75"}, "there are no CUDA kernels for stand-in 0"),
    ],
)
def test_what_does_not_fit_is_named(variables: dict[str, str], expected: str, stand_in: Path, no_kernels: Path) -> None:
    assert expected in said(no_kernels, MMKG_CUDA_DRIVER=str(stand_in), **variables)


def test_a_driver_without_a_function_is_too_old(no_kernels: Path, tmp_path: Path) -> None:
    compile_driver(tmp_path)  # skips without a compiler
    (tmp_path / "old.c").write_text(OLD_DRIVER)
    subprocess.run(["cc", "-shared", "-fPIC", tmp_path / "old.c", "-o", tmp_path / "old.so"], check=True)
    assert "has no function cu" in said(no_kernels, MMKG_CUDA_DRIVER=str(tmp_path / "old.so"))


def test_absent_kernels_are_named(stand_in: Path, tmp_path: Path) -> None:
    text = said(tmp_path / "absent.bin", MMKG_CUDA_DRIVER=str(stand_in))
    assert "there are no compiled CUDA kernels" in text
    assert "mmkg_sdk.kernels.cuda.triton.build" in text


def test_a_damaged_image_is_refused(stand_in: Path, tmp_path: Path, no_kernels: Path) -> None:
    damaged = tmp_path / "damaged.bin"
    damaged.write_bytes(no_kernels.read_bytes() + b"\0")
    assert "cut off or has something after its end" in said(damaged, MMKG_CUDA_DRIVER=str(stand_in))
