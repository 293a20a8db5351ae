"""The C++ example, compiled against the library that was built with the package."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import mmkg_sdk.kernels
from mmkg_sdk.bundle import Bundle
from mmkg_sdk.kernels import library

KERNELS = Path(mmkg_sdk.kernels.__file__).parent
SOURCE = Path(__file__).parents[1] / "cpp_examples" / "nearest.cpp"


@pytest.fixture(scope="module")
def nearest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("c++")
    if compiler is None or isinstance(library(), str):
        pytest.skip("no C++ compiler, or no compiled kernels")
    program = tmp_path_factory.mktemp("cpp") / "nearest"
    flags = ["-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", f"-I{KERNELS / 'include'}"]
    command = [compiler, *flags, str(SOURCE), f"-L{KERNELS}", "-lmmkg", f"-Wl,-rpath,{KERNELS}", "-o", str(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return program


def test_nearest_entities_are_those_of_numpy(nearest: Path, golden_bundle: Path) -> None:
    bundle = Bundle.open(golden_bundle)
    table, labels = bundle.encoded["vectors"], list(bundle.entities)
    scores = (table.astype(np.float64) @ table[3].astype(np.float64)).astype(np.float32)
    order = [i for i in np.argsort(-scores, kind="stable").tolist() if i != 3][:5]
    done = subprocess.run([nearest, golden_bundle, labels[3], "5"], capture_output=True, text=True, check=True)
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert [label for _, label in lines] == [labels[i] for i in order]
    np.testing.assert_allclose([float(score) for score, _ in lines], scores[order], rtol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nobody"], "no entity is called nobody"),
        (["x", "0"], "usage: nearest"),
        (["x", "5x"], "usage: nearest"),
        (["x", "1", "y"], "usage: nearest"),
    ],
)
def test_what_is_wrong_is_said(arguments: list[str], said: str, nearest: Path, golden_bundle: Path) -> None:
    done = subprocess.run([nearest, golden_bundle, *arguments], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr


def test_a_broken_bundle_is_said(nearest: Path, golden_bundle: Path, tmp_path: Path) -> None:
    table, labels = ((golden_bundle / name).read_bytes() for name in ("table.safetensors", "entities.txt"))
    rows = labels.count(b"\n")
    cases = [
        (None, labels, "table.safetensors cannot be read"),
        (b"", labels, "is no whole safetensors file"),
        (table[:20], labels, "is no whole safetensors file"),
        (b"\xff" * 64, labels, "is no whole safetensors file"),
        (table.replace(b'"vectors"', b'"factors"'), labels, 'no float32 tensor "vectors"'),
        (table.replace(b"[%d," % rows, b"[%d," % (rows + 1)), labels, "bytes, and has"),
        (table[:-1], labels, "bytes, and has"),
        (table, labels[: labels.rindex(b"\n", 0, -1)], f"has {rows - 1} labels in entities.txt and {rows} vectors"),
    ]
    for number, (numbers, names, said) in enumerate(cases):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "entities.txt").write_bytes(names)
        if numbers is not None:
            (folder / "table.safetensors").write_bytes(numbers)
        done = subprocess.run([nearest, folder, "x"], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (1, "")
        assert said in done.stderr
