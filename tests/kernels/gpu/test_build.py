"""Compiling ahead of time, and the image, with a small kernel that has a parameter of every kind. No GPU takes part."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

triton = pytest.importorskip("triton")

from mmkg_sdk.kernels.cuda.triton import specs  # noqa: E402
from mmkg_sdk.kernels.cuda.triton.build import (  # noqa: E402
    IMAGE_FILE,
    RESOURCES_FILE,
    compile_kernel,
    sources_sha256,
)
from mmkg_sdk.kernels.cuda.triton.image import CodeKind, image  # noqa: E402
from mmkg_sdk.kernels.cuda.triton.parameters import Kind, parameters  # noqa: E402

from .probe import PROBE  # noqa: E402

RECORD = json.loads(RESOURCES_FILE.read_text())
BUILD = "the image is not of these sources; run python -m mmkg_sdk.kernels.cuda.triton.build"


@pytest.mark.parametrize("target", specs.TARGETS)
def test_a_kernel_compiles_for_every_target(target: int) -> None:
    made, taken = compile_kernel(PROBE, target)
    assert made[0].code[:4] == b"\x7fELF"
    # compile_kernel holds the parameters against those that the cubin states.
    kinds = [parameter.kind for parameter in made[0].parameters]
    assert (Kind.TENSOR_MAP in kinds) == (target >= 90)
    assert (Kind.TENSOR_ADDRESS in kinds) == (target < 90)
    assert kinds.count(Kind.INTEGER) == 2
    assert kinds.count(Kind.FLOAT) == 1
    assert taken.registers > 0
    assert taken.instructions > 10
    assert taken.spill_loads == taken.spill_stores == 0
    assert [kernel.kind for kernel in made] == [CodeKind.CUBIN, *[CodeKind.PTX] * (target == specs.PTX_TARGET)]


def test_the_image_is_the_same_for_any_order_and_has_no_paths() -> None:
    kernels = [kernel for target in (80, 90) for kernel in compile_kernel(PROBE, target)[0]]
    contents = image(kernels)
    assert contents == image(kernels[::-1])
    assert os.fsencode(Path(__file__).parent) not in contents
    assert b"probe.py" not in contents


def test_a_kernel_that_takes_too_much_shared_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from mmkg_sdk.kernels.cuda.triton import build

    monkeypatch.setattr(build, "SHARED_LIMITS", {90: 100})
    with pytest.raises(ValueError, match=r"probe for 90 takes \d+ bytes of shared memory; a block may have 100"):
        compile_kernel(PROBE, 90)


def test_kernels_that_cannot_be_told_apart_are_refused() -> None:
    with pytest.raises(ValueError, match="two kernels are called probe for compute capability 80"):
        specs.check_kernels([PROBE, PROBE])
    specs.check_kernels([replace(PROBE, targets=(80,)), replace(PROBE, targets=(90,))])
    with pytest.raises(ValueError, match="signature and constants name"):
        specs.check_kernels([replace(PROBE, constants={})])
    with pytest.raises(ValueError, match=r"targets \[75\]"):
        specs.check_kernels([replace(PROBE, targets=(75,))])
    with pytest.raises(ValueError, match="at most 63"):
        specs.check_kernels([replace(PROBE, name="p" * 64)])
    with pytest.raises(ValueError, match="'fp8' is no parameter type"):
        parameters(replace(PROBE, signature={**PROBE.signature, "scale": "fp8"}), 90)


def test_the_interpreter_compiles_nothing() -> None:
    program = "from mmkg_sdk.kernels.cuda.triton.build import compile_kernel; from tests.kernels.gpu.probe import PROBE"
    done = subprocess.run(
        [sys.executable, "-c", f"{program}; compile_kernel(PROBE, 80)"],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "TRITON_INTERPRET is set" in done.stderr


def test_every_kernel_fits_its_targets() -> None:
    """The committed table, which build.py writes with the image."""
    table = RECORD["kernels"]
    expected = {(spec.name, str(target)) for spec in specs.all_kernels() for target in spec.targets}
    assert {(name, target) for name, targets in table.items() for target in targets} == expected, BUILD
    threads = {(spec.name, target): spec.num_warps * 32 for spec in specs.all_kernels() for target in spec.targets}
    for name, targets in table.items():
        for target, taken in targets.items():
            assert taken["shared_bytes"] <= specs.SHARED_LIMITS[int(target)], (name, target)
            # A multiprocessor has 65,536 registers: fewer would leave no room for one block.
            assert taken["registers"] * threads[name, int(target)] <= 65_536, (name, target)
            assert taken["spill_loads"] == taken["spill_stores"] == 0, (name, target)


def test_the_committed_image_is_of_these_sources() -> None:
    """Line by line: a comment asks for a new build, too, which then gives the same image."""
    assert RECORD["sources"] == sources_sha256(), BUILD
    assert RECORD["image"] == hashlib.sha256(IMAGE_FILE.read_bytes()).hexdigest(), BUILD


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("settle_rows", 90),
        ("select_best", 80),
        ("tucker_sum", 120),
        ("distance_known", 100),
        ("add_norm_256", 86),
        ("rotate", 89),
    ],
)
def test_kernels_compile_to_the_code_in_the_image(name: str, target: int) -> None:
    spec = next(spec for spec in specs.all_kernels() if spec.name == name and target in spec.targets)
    kernels, taken = compile_kernel(spec, target)
    contents = IMAGE_FILE.read_bytes()
    assert all(kernel.code in contents for kernel in kernels), BUILD
    assert asdict(taken) == RECORD["kernels"][name][str(target)], BUILD
