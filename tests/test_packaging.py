"""What a user installs: the wheel holds the whole package, and works away from the checkout and without a compiler."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest

from mmkg_sdk import Model
from tests.cpp.building import build_examples, cmake, find
from tests.places import ROOT

CMAKE_DIR = "from mmkg_sdk.kernels.cmake import cmake_dir; print(cmake_dir())"
ENVIRONMENT = "import sys; sys.argv = ['mmkg-sdk', 'env']; from mmkg_sdk.cli.main import main; main()"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compiled in the folder `build` beside it."""
    folder = tmp_path_factory.mktemp("wheel")
    return build(folder, "--config-settings=build-dir=" + str(folder / "build"))


@pytest.fixture(scope="module")
def pure_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built where there is no compiler."""
    return build(tmp_path_factory.mktemp("pure_wheel"), CXX="no-such-compiler")


def test_the_wheel_holds_every_module_and_data_file(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert modules() <= names
    assert "mmkg_sdk/py.typed" in names
    assert {f"mmkg_sdk/kernels/include/{name}" for name in ("mmkg.h", "mmkg_cuda.h")} <= names
    assert {"mmkg_sdk/cpp/include/mmkg/model.hpp", "mmkg_sdk/cmake/mmkg-config.cmake"} <= names
    assert "mmkg_sdk/kernels/mmkg_cuda.bin" in names
    assert "mmkg_sdk/data/atlas/countries.json" in names
    assert [name for name in names if name.endswith(".dist-info/licenses/LICENSE")]
    assert wheel.stat().st_size < 8 << 20  # of which the CUDA kernels are 5.4 MiB


def test_the_wheel_holds_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"mmkg_sdk"}
    kinds = {Path(name).suffix for name in names if ".dist-info/" not in name}
    assert kinds <= {".py", ".typed", ".json", ".h", ".hpp", ".cmake", ".bin", ".so", ".dylib", ".dll"}
    rooms = ("kernels/cpu", "kernels/cuda/device", "kernels/cuda/driver", "kernels/cuda/launch", "cpp/src")
    sources = tuple(f"mmkg_sdk/{room}/" for room in rooms)
    assert not [name for name in names if name.startswith((*sources, "mmkg_sdk/bench/results/"))]


@pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler")
def test_one_wheel_with_the_library_serves_every_python(wheel: Path, tmp_path: Path) -> None:
    assert "-py3-none-" in wheel.name
    assert not wheel.name.endswith("-any.whl")
    assert "kernels: portable" in answer_away_from_the_checkout(wheel, tmp_path, ENVIRONMENT)


@pytest.mark.skipif(shutil.which("c++") is None, reason="no C++ compiler")
def test_the_wheel_answers_in_an_environment_of_its_own_where_no_compiler_is(wheel: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    places = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin")
    alone = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")} | {"PATH": str(places)}
    assert not [name for name in ("c++", "cc", "cmake", "ninja") if shutil.which(name, path=alone["PATH"])]

    def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
        command = [places / words[0], *words[1:]]
        return subprocess.run(
            [*map(str, command)], env=alone, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=600
        )

    done = run("python", "-m", "pip", "install", "-q", f"{wheel}[cpu]")
    if done.returncode and "No matching distribution" in done.stderr:
        pytest.skip("no package index can be reached")
    assert done.returncode == 0, done.stderr
    bundle = ROOT / "tests" / "released" / "0.2.0" / "mygo"
    entity, relation = ((bundle / name).read_text().splitlines()[0] for name in ("entities.txt", "relations.txt"))
    asked = run("mmkg-sdk", "predict", bundle, "--head", entity, "--relation", relation, "--all-answers", "--json")
    assert asked.returncode == 0, asked.stderr
    with Model.load(bundle) as model:
        (expected,) = model.predict_tails(entity, relation, filter_known=False)
    assert [one["label"] for one in json.loads(asked.stdout)["answers"]] == list(expected.labels)
    assert "kernels: portable" in run("mmkg-sdk", "env").stdout


def test_without_a_compiler_the_package_is_built_all_the_same_and_says_what_it_lacks(
    pure_wheel: Path, tmp_path: Path
) -> None:
    assert pure_wheel.name.endswith("-py3-none-any.whl")
    assert modules() <= set(zipfile.ZipFile(pure_wheel).namelist())
    said = answer_away_from_the_checkout(pure_wheel, tmp_path, ENVIRONMENT)
    assert "kernels: numpy and graphs (not built: no C++17 compiler was found" in said


def test_the_installed_wheel_imports_away_from_the_checkout(wheel: Path, tmp_path: Path) -> None:
    code = (
        "import mmkg_sdk, mmkg_sdk.export, mmkg_sdk.bench, mmkg_sdk.cli.main, mmkg_sdk.families.mygo.graphs\n"
        "from mmkg_sdk.data.atlas import atlas_graph\n"
        "print(mmkg_sdk.__file__, mmkg_sdk.export.__file__, len(atlas_graph().entities))"
    )
    package, export, _ = answer_away_from_the_checkout(wheel, tmp_path, code).split()
    assert package.startswith(str(tmp_path))
    assert export.startswith(str(tmp_path))


@pytest.mark.skipif(shutil.which("cmake") is None, reason="no cmake")
def test_cmake_finds_the_libraries_of_an_unpacked_wheel(wheel: Path, tmp_path: Path) -> None:
    folder = answer_away_from_the_checkout(wheel, tmp_path, CMAKE_DIR).strip()
    assert folder == str(tmp_path / "site" / "mmkg_sdk" / "cmake")
    build_examples(tmp_path / "examples", f"mmkg_DIR={folder}", target="complete")
    assert_it_starts(tmp_path / "examples" / "complete")


@pytest.mark.skipif(shutil.which("cmake") is None, reason="no cmake")
def test_cmake_finds_the_libraries_of_a_plain_installation(wheel: Path, tmp_path: Path) -> None:
    """What was compiled for the wheel is laid out without Python, and moved before it is used."""
    compiled = wheel.parent / "build"
    (ninja,) = re.findall(r"^CMAKE_MAKE_PROGRAM:\w+=(.*)$", (compiled / "CMakeCache.txt").read_text(), re.MULTILINE)
    if not Path(ninja).exists():
        pytest.skip("pip brought a ninja, and removed it")
    # It may have brought nlohmann-json, too, which is looked for again.
    plain = ["-S", ROOT, "-B", compiled, "-U", "MMKG_JSON_DIR", "-DSKBUILD="]
    said = cmake(*plain)
    if "mmkg::model is not built" not in said:
        place = installed(compiled, tmp_path / "whole")
        build_examples(tmp_path / "examples", place, target="complete")
        assert_it_starts(tmp_path / "examples" / "complete")

    nowhere = ["-DCMAKE_DISABLE_FIND_PACKAGE_nlohmann_json=ON", "-DCMAKE_PREFIX_PATH="]
    nowhere += ["-DCMAKE_IGNORE_PATH=/usr/include;/usr/local/include"]
    said = cmake(*plain, *nowhere)
    assert "mmkg::model is not built: nlohmann/json.hpp was not found" in " ".join(said.split())
    place = installed(compiled, tmp_path / "kernels")
    find(tmp_path / "finds", "find_package(mmkg REQUIRED COMPONENTS kernels)", place)
    said = find(tmp_path / "finds", "find_package(mmkg REQUIRED COMPONENTS model)", place, fails=True)
    assert "there is no mmkg::model in this installation" in said


def test_the_extras_are_those_of_the_readme() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(extras) == set(re.findall(r"`\[(\w+)\]`", (ROOT / "README.md").read_text(encoding="utf-8")))


def modules() -> set[str]:
    """Every module of the package, as a wheel names it."""
    package = {path.relative_to(ROOT).as_posix() for path in (ROOT / "mmkg_sdk").rglob("*.py")}
    return package | {
        f"mmkg_sdk/{path.relative_to(ROOT).as_posix()}"
        for part in ("export", "bench")
        for path in (ROOT / part).rglob("*.py")
    }


def build(folder: Path, *options: str, **environment: str) -> Path:
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", *options, "-w", str(folder), str(ROOT)]
    done = subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stderr
    (found,) = folder.glob("*.whl")
    return found


def answer_away_from_the_checkout(wheel: Path, folder: Path, code: str) -> str:
    """What some code prints where the wheel is unpacked."""
    zipfile.ZipFile(wheel).extractall(folder / "site")
    # Without `site` no .pth file leads to the checkout.
    paths = os.pathsep.join([str(folder / "site"), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")])
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        env=os.environ | {"PYTHONPATH": paths},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def assert_it_starts(program: Path) -> None:
    """Both libraries are found and fit, wherever they lie."""
    done = subprocess.run([program, "nowhere", "tails", "x", "y"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "nowhere" in done.stderr


def installed(compiled: Path, folder: Path) -> str:
    """Where CMake finds what was compiled: an installation that was moved after it was made."""
    cmake("--build", compiled)
    cmake("--install", compiled, "--prefix", folder.with_suffix(".first"))
    folder.with_suffix(".first").rename(folder)
    return f"CMAKE_PREFIX_PATH={folder}"
