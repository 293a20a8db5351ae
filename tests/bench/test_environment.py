"""The conditions that go with every result."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mmkg_sdk.bench import environment
from mmkg_sdk.bench.environment import is_loaded, other_load

ROOT = Path(__file__).parents[2]


def test_it_holds_what_a_reader_needs_to_compare() -> None:
    found = environment(threads=3)
    assert found["python"] == platform.python_version()
    assert found["versions"]["numpy"] == np.__version__
    assert {"mmkg_sdk", "torch", "onnxruntime"} <= set(found["versions"])
    assert found["cores"] == os.cpu_count()
    assert 1 <= found["usable_cores"] <= found["cores"]
    assert found["threads"] == 3
    assert found["cpu"]
    assert isinstance(found["cpu_flags"], list)
    assert isinstance(found["gpus"], list)
    assert {"date", "os", "memory_mib", "load_average", "git_commit", "git_dirty"} <= set(found)
    json.dumps(found, allow_nan=False)


def test_it_names_the_bundle_by_the_hash_of_its_manifest(golden_bundle: Path) -> None:
    expected = hashlib.sha256((golden_bundle / "bundle.json").read_bytes()).hexdigest()
    assert environment(golden_bundle)["bundle_sha256"] == expected


def test_it_imports_nothing_heavy_and_needs_no_git() -> None:
    code = """
import sys, os
os.environ["PATH"] = ""
from mmkg_sdk.bench.environment import environment
found = environment()
assert found["git_commit"] is None and found["git_dirty"] is None and found["gpus"] == []
assert not {"torch", "onnxruntime", "matplotlib"} & set(sys.modules), "heavy import"
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=120)


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a git checkout")
def test_it_names_the_commit_of_the_checkout() -> None:
    asked = ["git", "-C", str(ROOT), "rev-parse", "HEAD"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"git does not read this checkout: {done.stderr.strip()}")
    assert environment()["git_commit"] == done.stdout.strip()


@pytest.mark.parametrize(
    ("before", "after", "threads", "load", "loaded"),
    [
        ([0.1, 0, 0], [2.2, 0, 0], 2, 0.2, False),  # our own two threads are no other work
        ([1.5, 0, 0], [2.0, 0, 0], 2, 1.5, True),
        ([0.0, 0, 0], [4.0, 0, 0], 2, 2.0, True),
        (None, None, 2, None, None),
    ],
)
def test_other_work_is_told_from_our_own(
    before: list[float] | None, after: list[float] | None, threads: int, load: float | None, loaded: bool | None
) -> None:
    assert other_load(before, after, threads) == pytest.approx(load)
    assert is_loaded(load, cores=4 if load == 0.2 else 2) is loaded
