"""The C programs beside this file and the library, compiled with the sanitizers and run."""

from __future__ import annotations

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import mmkg_sdk.kernels

SOURCES = Path(mmkg_sdk.kernels.__file__).parent


@pytest.mark.parametrize("sanitizers", ["address,undefined", "thread"])
def test_all_cases_run_clean(sanitizers: str, tmp_path: Path) -> None:
    c, cpp = shutil.which("cc"), shutil.which("c++")
    if c is None or cpp is None:
        pytest.skip("no C and C++ compiler")
    flags = [f"-fsanitize={sanitizers}", "-fno-sanitize-recover=all", "-g1", "-O1", "-pthread"]
    flags += ["-ffp-contract=off", "-fno-math-errno"]
    empty = tmp_path / "empty.c"
    empty.write_text("int main(void) { return 0; }\n")
    if subprocess.run([c, *flags, empty, "-o", tmp_path / "empty"], capture_output=True, check=False).returncode:
        pytest.skip(f"this compiler has no {sanitizers} sanitizer")
    # GCC's own headers of AVX-512 leave vectors uninitialised on purpose.
    warnings = ["-Wall", "-Wextra", "-Werror", "-Wno-maybe-uninitialized", "-Wno-uninitialized"]
    include = [f"-I{folder}" for folder in (SOURCES / "include", SOURCES / "cpu")]
    sources = sorted((SOURCES / "cpu").rglob("*.cpp"))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        compiled = [cpp, "-std=c++17", *flags, *warnings, *include, "-c"]
        list(pool.map(lambda source: run([*compiled, str(source)], tmp_path), sources))
    library = [f"{path.stem}.o" for path in sources]
    for cases in ("all_cases", "answer_cases", "encoder_cases", "interaction_cases", "query_cases", "tucker_cases"):
        case_source = str(Path(__file__).with_name(f"{cases}.c"))
        run([c, "-std=c11", *flags, *warnings, *include, "-c", case_source, "-o", f"{cases}.case"], tmp_path)
        run([cpp, *flags, *library, f"{cases}.case", "-o", cases], tmp_path)
        assert run([f"./{cases}"], tmp_path).endswith(" cases\n")


def run(command: list[str], folder: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "MMKG_INSTRUCTION_SET"}
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, env=environment, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
