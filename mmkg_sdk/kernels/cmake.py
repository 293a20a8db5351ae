"""Where C and C++ programs find the compiled libraries of this installation."""

from __future__ import annotations

from pathlib import Path

from ..errors import BackendError

_FOLDER = Path(__file__).parents[1] / "cmake"


def cmake_dir() -> Path:
    """The folder for CMake's `mmkg_DIR`, from which `find_package(mmkg)` takes libraries and headers.

    Raises:
        BackendError: mmkg_sdk was installed without its compiled libraries.
    """
    if not (_FOLDER / "mmkg-targets.cmake").is_file():
        raise BackendError(
            f"{_FOLDER} has no mmkg-targets.cmake: mmkg_sdk was installed without its compiled libraries. Install a "
            "C++17 compiler and reinstall it; in a checkout: pip install -e ."
        )
    return _FOLDER
