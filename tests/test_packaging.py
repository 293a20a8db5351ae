"""What a user installs: the wheel holds the whole package, and works away from the checkout."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.places import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, because building writes into the source folder."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for name in ("mmkg_sdk", "export", "bench"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "results", "*.so"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder), str(source)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    (found,) = folder.glob("*.whl")
    return found


def test_the_wheel_holds_every_module_and_data_file(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    here = {path.relative_to(ROOT).as_posix() for path in (ROOT / "mmkg_sdk").rglob("*.py")}
    here |= {
        f"mmkg_sdk/{path.relative_to(ROOT).as_posix()}"
        for part in ("export", "bench")
        for path in (ROOT / part).glob("*.py")
    }
    assert here <= names
    assert "mmkg_sdk/py.typed" in names
    assert "mmkg_sdk/kernels/include/mmkg.h" in names
    assert "mmkg_sdk/data/atlas/countries.json" in names
    assert not [name for name in names if name.startswith(("tests/", "export/", "bench/"))]
    assert wheel.stat().st_size < 5 << 18  # 1.25 MiB


def test_the_installed_wheel_imports_away_from_the_checkout(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r})\n"
        f"sys.path[:] = [folder for folder in sys.path if folder != {str(ROOT)!r}]\n"
        "import mmkg_sdk, mmkg_sdk.export, mmkg_sdk.bench, mmkg_sdk.cli.main, mmkg_sdk.families.mygo.graphs\n"
        "from mmkg_sdk.data.atlas import atlas_graph\n"
        "print(mmkg_sdk.__file__, mmkg_sdk.export.__file__, len(atlas_graph().entities))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    package, export, _ = done.stdout.split()
    assert package.startswith(str(tmp_path))
    assert export.startswith(str(tmp_path))


def test_the_extras_are_those_of_the_readme() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(extras) == {"cpu", "gpu", "tensorrt", "text", "train", "peers", "all", "test"}
