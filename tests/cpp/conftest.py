"""The C++ library and the program beside this file that asks it, compiled once, with sanitizers."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import pytest

import mmkg_sdk.kernels
from mmkg_sdk.kernels import library
from tests.cpp.tensorrt_headers import tensorrt_absence, tensorrt_headers
from tests.once import once

KERNELS = Path(mmkg_sdk.kernels.__file__).parent
SOURCES = KERNELS.parent / "cpp"
ASKED = Path(__file__).with_name("asked.cpp")

_SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g1"]
_WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror"]

Ask = Callable[..., list[str]]


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """See asked.cpp."""
    compiler = shutil.which("c++")
    if compiler is None or isinstance(library(), str):
        pytest.skip("no C++ compiler, or no compiled kernels")
    return once(tmp_path_factory, "asked", lambda folder: _compile(compiler, folder)) / "asked"


def _compile(compiler: str, folder: Path) -> None:
    flags = ["-std=c++17", "-O0", "-ffp-contract=off", *_WARNINGS]
    flags += [f"-I{path}" for path in (SOURCES / "include", SOURCES / "src", KERNELS / "include")]
    flags += [f"-isystem{path}" for path in json_headers(compiler, folder)]
    if headers := onnxruntime_headers():
        flags += ["-DMMKG_ONNXRUNTIME", f"-isystem{headers}"]
    if not tensorrt_absence():
        flags += ["-DMMKG_TENSORRT", *(f"-isystem{path}" for path in tensorrt_headers())]
    sanitizers = _SANITIZERS if _compiles(compiler, _SANITIZERS, "int main() {}", folder) else []

    def compiled(source: Path) -> str:
        _run([compiler, *flags, *sanitizers, "-c", str(source), "-o", f"{source.stem}.o"], folder)
        return f"{source.stem}.o"

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(compiled, [ASKED, *sorted((SOURCES / "src").glob("*.cpp"))]))
    link = [f"-L{KERNELS}", "-lmmkg", f"-Wl,-rpath,{KERNELS}", "-pthread", "-ldl"]
    _run([compiler, *sanitizers, *objects, *link, "-o", "asked"], folder)


@pytest.fixture(scope="session")
def ask(program: Path) -> Ask:
    """Arguments of the program and its lines of input -> its lines of output."""

    def answers(arguments: list[str | Path], lines: list[str]) -> list[str]:
        # Without it, what is too large for memory would end a program under the sanitizer, not raise std::bad_alloc.
        environment = os.environ | {"ASAN_OPTIONS": "allocator_may_return_null=1", "OMP_NUM_THREADS": "2"}
        done = subprocess.run(
            [program, *arguments],
            input="".join(f"{line}\n" for line in lines),
            capture_output=True,
            encoding="utf-8",
            env=environment,
            check=False,
            timeout=120,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.splitlines()

    return answers


def json_headers(compiler: str, folder: Path) -> list[Path]:
    """Where the headers of nlohmann-json lie, if the compiler does not know. Skips where there are none."""
    if _compiles(compiler, [], "#include <nlohmann/json_fwd.hpp>\nint main() {}", folder):
        return []
    package = find_spec("nlohmann_json")
    if package is None or not package.submodule_search_locations:
        pytest.skip("no headers of nlohmann-json: pip install nlohmann-json")
    return [Path(package.submodule_search_locations[0]) / "include"]


def onnxruntime_headers() -> str | None:
    """Where the headers of ONNX Runtime lie: MMKG_ONNXRUNTIME_DIR says so, as it does to CMake."""
    return os.environ.get("MMKG_ONNXRUNTIME_DIR")


@pytest.fixture(scope="session")
def libonnxruntime() -> Path:
    """The library of the Python package, so that both run the same; skips where the program cannot run graphs."""
    if onnxruntime_headers() is None:
        pytest.skip("no headers of ONNX Runtime: MMKG_ONNXRUNTIME_DIR does not say where onnxruntime_c_api.h lies")
    package = find_spec("onnxruntime")
    places = (package.submodule_search_locations or []) if package else []
    found = [path for place in places for path in Path(place).glob("capi/libonnxruntime.so*")]
    if not found:
        pytest.skip("the package onnxruntime has no libonnxruntime beside its module")
    return found[0]


def _compiles(compiler: str, flags: list[str], text: str, folder: Path) -> bool:
    (folder / "try.cpp").write_text(text)
    command = [compiler, *flags, "try.cpp", "-o", "try"]
    return subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 0


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
