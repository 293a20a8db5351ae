"""The kernels on ARM64, in an emulator: their cases run, and give the bits that this machine's give.

No ARM64 processor was at hand. What the emulator cannot show is how fast they are.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import mmkg_sdk.kernels
from mmkg_sdk.kernels import instruction_sets

KERNELS = Path(mmkg_sdk.kernels.__file__).parent
CASES = Path(__file__).parents[1] / "sanitizers"
PROGRAMS = ("all", "encoder", "query", "tucker", "interaction")
COMPILER, C_COMPILER, EMULATOR = "aarch64-linux-gnu-g++", "aarch64-linux-gnu-gcc", "qemu-aarch64"
FLAGS = ["-DLARGE_CASES=0", "-ffp-contract=off", "-fno-math-errno"]
FLAGS += [f"-I{KERNELS / 'include'}", f"-I{KERNELS / 'cpu'}", f"-I{CASES}"]
# Processors to emulate, and what they add to what all have, slowest first: the first of ARM64, one of its servers, and
# all that there is.
PROCESSORS = {"cortex-a53": (), "neoverse-n1": ("neon_dot",), "max": ("neon_dot", "neon_bf16", "neon_i8mm")}

pytestmark = pytest.mark.skipif(
    shutil.which(COMPILER) is None or shutil.which(EMULATOR) is None,
    reason=f"needs {COMPILER} and {EMULATOR} (Debian's packages g++-aarch64-linux-gnu and qemu-user)",
)


def run(*command: str | Path) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "MMKG_INSTRUCTION_SET"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def compiled(compiler: str, language: str, source: Path, folder: Path) -> Path:
    target = folder / f"{source.parent.name}_{source.stem}.o"
    warnings = ["-Wall", "-Wextra", "-Werror", "-Wno-psabi"]
    run(compiler, f"-std={language}", "-O2", *FLAGS, *warnings, "-c", source, "-o", target)
    return target


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The program of some cases for ARM64, or best_set.c, the library in it."""
    folder = tmp_path_factory.mktemp("arm")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        sources = sorted((KERNELS / "cpu").rglob("*.cpp"))
        library = list(pool.map(lambda source: compiled(COMPILER, "c++17", source, folder), sources))

    def program(name: str) -> Path:
        source = Path(__file__).with_name("best_set.c") if name == "best_set" else CASES / f"{name}_cases.c"
        run(COMPILER, "-static", *library, compiled(C_COMPILER, "c11", source, folder), "-o", folder / name)
        return folder / name

    return program


def digests(printed: str) -> dict[str, str]:
    """Of what each instruction set gave."""
    *lines, last = printed.splitlines()
    assert last.endswith(" cases")
    return dict(line.split() for line in lines)


@pytest.mark.skipif(
    platform.machine() != "x86_64" or "avx2" not in instruction_sets(), reason="nothing to compare with"
)
@pytest.mark.parametrize("name", PROGRAMS)
def test_arm64_gives_the_bits_of_x86_64(name: str, programs: Callable[[str], Path], tmp_path: Path) -> None:
    library = ["-L", KERNELS, "-lmmkg", f"-Wl,-rpath,{KERNELS}", "-lm", "-pthread"]
    run("cc", "-std=c11", "-O1", *FLAGS, CASES / f"{name}_cases.c", "-o", tmp_path / name, *library)
    here = digests(run(tmp_path / name))
    program = programs(name)
    oldest, _, newest = PROCESSORS  # what comes with the one between them, only scans have
    for processor in PROCESSORS if name == "all" else (oldest, newest):
        added = PROCESSORS[processor]
        there = digests(run(EMULATOR, "-cpu", processor, program))
        # Plain code for ARM64 has fused multiply-adds, too. What only scans have, the other programs do not name.
        assert set(there) == {"portable", "neon", *(added if name == "all" else ())}
        assert set(there.values()) == {here["avx2"]}, f"{here} here, {there} on {processor}"


@pytest.mark.parametrize("processor", PROCESSORS)
def test_the_fastest_set_of_a_processor_is_chosen(processor: str, programs: Callable[[str], Path]) -> None:
    assert run(EMULATOR, "-cpu", processor, programs("best_set")).strip() == ("neon", *PROCESSORS[processor])[-1]


def test_the_error_of_roots_is_what_bounds_are_made_of(tmp_path: Path) -> None:
    # Not -O2: there g++ 12 for ARM64 fails in this loop (an internal error, in vect_transform_reduction).
    run(
        COMPILER,
        "-std=c++17",
        "-O1",
        "-static",
        *FLAGS,
        Path(__file__).with_name("root_error.cpp"),
        "-o",
        tmp_path / "root",
    )
    largest, bound = map(float, run(EMULATOR, tmp_path / "root").split())
    assert 1e-6 < largest < bound
