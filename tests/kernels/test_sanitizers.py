"""all_cases.c and the library, compiled with the sanitizers and run."""

from __future__ import annotations

import os
import shutil
import subprocess
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
    case = tmp_path / "case.o"
    warnings = ["-Wall", "-Wextra", "-Werror", "-Wno-maybe-uninitialized"]
    include = f"-I{SOURCES / 'include'}"
    case_source = Path(__file__).with_name("all_cases.c")
    run([c, "-std=c11", *flags, *warnings, include, "-c", str(case_source), "-o", str(case)])
    program = tmp_path / "program"
    library = [str(path) for path in sorted((SOURCES / "cpu").glob("*.cpp"))]
    run([cpp, "-std=c++17", *flags, *warnings, *library, str(case), "-o", str(program)])
    done = run([str(program)])
    assert done.endswith(" cases\n")


def run(command: list[str]) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "MMKG_INSTRUCTION_SET"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout
