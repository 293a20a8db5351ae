"""Reading the image of compiled kernels: hostile bytes, and which code a GPU gets. No GPU and no driver take part."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mmkg_sdk.errors import BackendError
from mmkg_sdk.kernels import library
from mmkg_sdk.kernels.cuda.triton.image import CodeKind, CompiledKernel, image
from mmkg_sdk.kernels.cuda.triton.parameters import Kind, Parameter
from mmkg_sdk.kernels.gpu import gpu_kernels_state
from mmkg_sdk.kernels.gpu import library as gpu_library

from .fake_driver.driver import compile_driver

HAS_KERNELS = """
import ctypes, sys
from pathlib import Path
import mmkg_sdk.kernels.gpu.library as gpu_library
gpu_library.IMAGE_FILE = Path(sys.argv[1])
from mmkg_sdk.kernels.gpu import Gpu
handle = Gpu.open(0).handle
print([name for name in sys.argv[2:] if gpu_library.gpu_library().mmkg_gpu_has_kernel(handle, name.encode())])
"""


@pytest.fixture(scope="module", autouse=True)
def _built() -> None:
    found = library()
    if isinstance(found, str):
        pytest.skip(found)


def kernel(name: str, target: int, kind: CodeKind = CodeKind.CUBIN) -> CompiledKernel:
    layout = (Parameter(Kind.ADDRESS, 0, 8), Parameter(Kind.TENSOR_MAP, 1, 128, 0, 9, 3, (64, 128)))
    return CompiledKernel(name, name, target, kind, f"code of {name}\0".encode(), 1024, 128, layout, (("BLOCK", 64),))


def targets(contents: bytes) -> str:
    """What the library reads of an image; it lies at the end of its memory, and has no spare bytes."""
    held, text = np.frombuffer(contents, np.uint8), ctypes.create_string_buffer(256)
    status = gpu_library.gpu_library().mmkg_gpu_image_targets(held.ctypes.data, len(contents), text, len(text))
    gpu_library.check(status)
    return text.value.decode()


def test_an_image_says_what_it_is_for() -> None:
    assert targets(image([kernel("a", 90), kernel("a", 86), kernel("b", 120)])) == "8.6, 9.0, 12.0"
    assert targets(image([])) == ""


def test_every_cut_is_refused() -> None:
    whole = image([kernel("a", 90), kernel("b", 80)])
    for end in range(len(whole)):
        with pytest.raises(BackendError, match=r"cut off|something after its end"):
            targets(whole[:end])
    with pytest.raises(BackendError, match="something after its end"):
        targets(whole + b"\0")


def test_every_changed_byte_is_refused() -> None:
    whole = image([kernel("a", 90), kernel("b", 80)])
    padding = _padding(whole)
    for place in range(len(whole)):
        if place in padding:
            continue
        for flip in (1, 0x80):
            changed = bytearray(whole)
            changed[place] ^= flip
            with pytest.raises(BackendError, match="image"):
                targets(bytes(changed))


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"threads": 0}, "no known form"),
        ({"threads": 2048}, "no known form"),
        ({"name": "n" * 64}, "a name has no end"),
        ({"name": ""}, "a name has no end"),
        ({"parameters": (Parameter(Kind.ADDRESS, 0, 4),)}, "parameter is of no known form"),
        ({"parameters": (Parameter(Kind.TENSOR_MAP, 0, 128),)}, "parameter is of no known form"),
        ({"parameters": (Parameter(Kind.ZERO, 0, 9),)}, "parameter is of no known form"),
        ({"parameters": (Parameter(Kind.ZERO, 64, 8),)}, "parameter is of no known form"),
        ({"parameters": (Parameter(Kind.ZERO, 0, 8),) * 65}, "parameters or constants lie outside"),
        ({"constants": (("c" * 24, 1),)}, "a name has no end"),
        ({"code": b""}, "code lies outside"),
        ({"kind": CodeKind.PTX, "code": b"no end"}, "PTX has no end"),
    ],
)
def test_numbers_that_would_lead_astray_are_refused(changed: dict[str, object], reason: str) -> None:
    """With right checksums: what a careless or hostile writer could make."""
    fields = {**vars(kernel("a", 90)), **changed}
    with pytest.raises(BackendError, match=reason):
        targets(image([CompiledKernel(**fields)]))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("capability", "expected"),
    [
        ("80", ["for_80", "as_ptx"]),
        ("87", ["for_80", "for_86", "as_ptx"]),  # code for 8.x runs on what follows within 8.x
        ("90", ["for_90", "as_ptx"]),
        ("103", ["as_ptx"]),  # the driver compiles PTX for GPUs that nobody compiled for
    ],
)
def test_a_gpu_gets_code_that_it_can_run(capability: str, expected: list[str], tmp_path: Path) -> None:
    kernels = [kernel("for_80", 80), kernel("for_86", 86), kernel("for_90", 90), kernel("as_ptx", 80, CodeKind.PTX)]
    (tmp_path / "image.bin").write_bytes(image(kernels))
    done = subprocess.run(
        [sys.executable, "-c", HAS_KERNELS, tmp_path / "image.bin", *(made.name for made in kernels)],
        env={**os.environ, "MMKG_CUDA_DRIVER": str(compile_driver(tmp_path)), "FAKE_CUDA_CAPABILITY": capability},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.strip() == str(expected)


def test_the_state_of_the_kernels_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_library, "IMAGE_FILE", tmp_path / "image.bin")
    assert gpu_kernels_state().startswith("none (there are no compiled CUDA kernels")
    (tmp_path / "image.bin").write_bytes(image([kernel("a", 90)]))
    monkeypatch.setenv("MMKG_CUDA_DRIVER", str(tmp_path / "libcuda.so.1"))
    state = gpu_kernels_state()
    assert state.startswith("compiled for compute capability 9.0, not yet run on a GPU; ")
    assert "\n" not in state


def _padding(whole: bytes) -> set[int]:
    """Places between pieces of code, which nothing reads."""
    return set(_gaps(whole))


def _gaps(whole: bytes) -> Iterator[int]:
    end = 0
    for name in (b"code of a\0", b"code of b\0"):
        start = whole.index(name)
        if end:
            yield from range(end, start)
        end = start + len(name)
    tables = 40 + 2 * 184 + 4 * 48 + 2 * 32
    yield from range(tables, whole.index(b"code of a\0"))
