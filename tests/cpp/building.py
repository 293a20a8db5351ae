"""C++ programs built against the installed libraries, and whether that can be done here."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from mmkg_sdk.errors import BackendError
from mmkg_sdk.kernels.cmake import cmake_dir
from tests.places import ROOT


def building_absence() -> str | None:
    """What there is not; None where programs can be built."""
    for program in ("cmake", "c++", "cc"):
        if shutil.which(program) is None:
            return f"there is no {program}"
    try:
        folder = cmake_dir()
    except BackendError as err:
        return str(err)
    targets = (folder / "mmkg-targets.cmake").read_text(encoding="utf-8")
    return None if "mmkg::model" in targets else "mmkg::model was not built: there was no nlohmann-json"


def cmake(*arguments: str | Path, fails: bool = False) -> str:
    """What CMake says."""
    done = subprocess.run(["cmake", *arguments], capture_output=True, text=True, check=False, timeout=600)
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done.stdout + done.stderr


def build_examples(out: Path, place: str, *settings: str, target: str = "all") -> str:
    """Build cpp_examples, and give what CMake said of them.

    Args:
        place: where mmkg is, as `mmkg_DIR=FOLDER` or `CMAKE_PREFIX_PATH=FOLDER`.
    """
    said = cmake("-S", ROOT / "cpp_examples", "-B", out, f"-D{place}", *settings)
    cmake("--build", out, "-j2", "--target", target)
    return said


def find(folder: Path, call: str, place: str, *, fails: bool = False) -> str:
    """What CMake says of a `find_package` in a new project."""
    folder.mkdir(exist_ok=True)
    lines = ["cmake_minimum_required(VERSION 3.21)", "project(finds LANGUAGES NONE)", call]
    (folder / "CMakeLists.txt").write_text("\n".join(lines) + "\n")
    return " ".join(cmake("-S", folder, "-B", folder / "build", f"-D{place}", fails=fails).split())
