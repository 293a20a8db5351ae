"""mmkg-sdk env."""

from __future__ import annotations

import json

import pytest

from mmkg_sdk.kernels import instruction_sets

from .running import mmkg


def test_env_says_how_many_threads_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    lines = mmkg("env").stdout.splitlines()
    assert "threads: 3" in lines
    assert "threads_reason: OMP_NUM_THREADS is 3" in lines


def test_env_prints_json() -> None:
    found = json.loads(mmkg("env", "--json").stdout)
    assert "mmkg_sdk" in json.dumps(found)
    assert "not yet run on a GPU" in found["cuda_kernels"] or found["cuda_kernels"].startswith("none (")
    assert found["kernels"] == ", ".join(instruction_sets()) or found["kernels"].startswith("numpy and graphs (")
