"""Skips these tests, with the reason, where the library was not built."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from mmkg_sdk.kernels import Scan, instruction_sets, library
from mmkg_sdk.scores import CandidateScore, InnerProduct

# Opens a table with a number of threads.
OpenScan = Callable[[np.ndarray, CandidateScore, int], Scan]


@pytest.fixture(autouse=True)
def _built() -> None:
    found = library()
    if isinstance(found, str):
        pytest.skip(found)


@pytest.fixture(params=instruction_sets() or ["none"])
def open_scan(request: pytest.FixtureRequest) -> OpenScan:
    """On every instruction set; where it has bfloat16, the first pass of inner products uses it."""
    name: str = request.param

    def opened(table: np.ndarray, score: CandidateScore, threads: int) -> Scan:
        half = name == "avx512_bf16" and isinstance(score, InnerProduct)
        return Scan(table, score, threads, name, "bfloat16" if half else "float32")

    return opened
