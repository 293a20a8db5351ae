"""TensorRT for RTX, which builds engines on a CPU, and a bundle to build from."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mmkg_sdk.backends.tensorrt.bindings import Bindings, load_bindings
from mmkg_sdk.bundle import Bundle

# These need a process of their own; test_stand_in.py starts it.
collect_ignore_glob = [] if os.environ.get("TEST_BUNDLE") else ["stand_in/*"]


@pytest.fixture(scope="session")
def rtx() -> Bindings:
    pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT for RTX is not installed")
    return load_bindings("tensorrt-rtx")


@pytest.fixture
def bundle(golden_bundle: Path) -> Bundle:
    return Bundle.open(golden_bundle)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache of a test; never the user's."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("MMKG_CACHE", str(folder))
    return folder
