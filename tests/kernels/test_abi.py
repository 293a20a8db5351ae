"""A library of another version of the C interface is refused, by Python and by mmkg_abi_fits of mmkg.h."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import pytest

import mmkg_sdk.kernels

HEADER = Path(mmkg_sdk.kernels.__file__).parent / "include" / "mmkg.h"
MAJOR, MINOR = (
    int(re.findall(rf"^#define MMKG_ABI_{part} (\d+)$", HEADER.read_text(), flags=re.MULTILINE)[0])
    for part in ("MAJOR", "MINOR")
)
# Version -> whether it fits.
VERSIONS = [
    (MAJOR * 1000 + MINOR, True),
    (MAJOR * 1000 + MINOR + 7, True),
    (MAJOR * 1000 + MINOR - 1, False),
    ((MAJOR + 1) * 1000 + MINOR, False),
    ((MAJOR - 1) * 1000 + 999, False),
    (2, False),  # 0.2.0
]
PROGRAM = '#include "mmkg.h"\nint main(void) { return mmkg_abi_fits() ? 0 : 1; }\n'

library = import_module("mmkg_sdk.kernels.library")


@pytest.fixture
def other_library(tmp_path: Path) -> Callable[[int], Path]:
    """A libmmkg of which nothing is there but its version."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")

    def compiled(version: int) -> Path:
        source, built = tmp_path / "version.c", tmp_path / "libmmkg.so"
        source.write_text(f"int mmkg_abi_version(void) {{ return {version}; }}\n")
        subprocess.run([compiler, "-shared", "-fPIC", source, "-o", built], check=True)
        return built

    return compiled


@pytest.fixture
def _uncached() -> Iterator[None]:
    yield
    library.library.cache_clear()


def test_python_and_the_header_name_one_version() -> None:
    assert (MAJOR, MINOR) == library._ABI


@pytest.mark.usefixtures("_uncached")
@pytest.mark.parametrize("version", [version for version, fits in VERSIONS if not fits])
def test_python_refuses_another_version(
    version: int, other_library: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "_FILE", other_library(version))
    library.library.cache_clear()
    assert library.library() == (
        f"libmmkg.so has version {version // 1000}.{version % 1000} of the C interface, and this mmkg_sdk needs "
        f"{MAJOR}.{MINOR} or a later {MAJOR}.x; reinstall mmkg_sdk"
    )


@pytest.mark.usefixtures("_uncached")
def test_python_says_what_a_library_of_its_version_lacks(
    other_library: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "_FILE", other_library(MAJOR * 1000 + MINOR))
    library.library.cache_clear()
    assert "libmmkg.so cannot be loaded: " in library.library()


@pytest.mark.parametrize(("version", "fits"), VERSIONS)
def test_the_header_knows_which_library_fits(
    version: int, fits: bool, other_library: Callable[[int], Path], tmp_path: Path
) -> None:
    built, source, program = other_library(version), tmp_path / "fits.c", tmp_path / "fits"
    source.write_text(PROGRAM)
    flags = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", f"-I{HEADER.parent}"]
    subprocess.run(["cc", *flags, source, built, f"-Wl,-rpath,{tmp_path}", "-o", program], check=True)
    assert subprocess.run([program], check=False).returncode == (0 if fits else 1)
