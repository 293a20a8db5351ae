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
from mmkg_sdk.bench.machine.environment import Moment, busy_ticks, is_loaded, moment, other_load
from tests.places import ROOT


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
from mmkg_sdk.bench.machine.environment import environment
from tests.places import ROOT
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
    ("before", "after", "load"),
    [
        # Ten seconds in which two cores worked 20 seconds, all of them ours, whatever had run before.
        (Moment(100, 5000, 300), Moment(110, 5020, 320), 0.0),
        (Moment(100, 5000, 300), Moment(110, 5020, 305), 1.5),
        (Moment(100, 5000, 300), Moment(110, 5003, 304), 0.0),  # counted in ticks and to the microsecond
        (Moment(100, 5000, 300), Moment(100, 5000, 300), None),
        (None, Moment(110, 5020, 320), None),
    ],
)
def test_other_work_is_told_from_our_own(before: Moment | None, after: Moment | None, load: float | None) -> None:
    assert other_load(before, after) == (None if load is None else pytest.approx(load))


def test_a_quarter_of_the_cores_is_a_loaded_machine() -> None:
    assert [is_loaded(load, cores=2) for load in (None, 0.0, 0.5, 0.51)] == [None, False, False, True]


def test_work_is_counted_on_the_cores_that_we_may_use() -> None:
    """Columns of proc(5): user nice system idle iowait irq softirq steal guest guest_nice."""
    text = "cpu 999 999 999 999 999 999 999 999 0 0\ncpu0 1 2 4 900 900 8 16 32 1 0\ncpu1 100 0 0 0 0 0 0 0 0 0\n"
    assert busy_ticks(text, [0]) == 63
    assert busy_ticks(text, [0, 1, 7]) == 163


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="this system does not count processor time there")
def test_moments_follow_each_other_and_count_children_once_they_ended() -> None:
    before = moment()
    subprocess.run([sys.executable, "-c", "sum(range(10**7))"], check=True)
    after = moment()
    assert before is not None
    assert after is not None
    assert after.clock > before.clock
    assert after.busy >= before.busy
    assert after.own > before.own + 0.02
