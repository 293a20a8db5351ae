"""Skips these tests, with the reason, where the library was not built."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from mmkg_sdk.kernels import Scan, instruction_sets, library
from mmkg_sdk.kernels.scan import Storage
from mmkg_sdk.ranking.scores import CandidateScore, InnerProduct

# Opens a table with a number of threads.
OpenScan = Callable[[np.ndarray, CandidateScore, int], Scan]


def storage_of(instruction_set: str, score: CandidateScore) -> Storage:
    """What the first pass reads in these tests: the copy that the set adds to those before, if there is one."""
    if not isinstance(score, InnerProduct) or instruction_set == "portable":
        return "float32"
    return "bfloat16" if instruction_set == "avx512_bf16" else "int8"


@pytest.fixture(autouse=True)
def _built() -> None:
    found = library()
    if isinstance(found, str):
        pytest.skip(found)


@pytest.fixture(params=instruction_sets() or ["none"])
def open_scan(request: pytest.FixtureRequest) -> OpenScan:
    """On every instruction set, with the storage that it adds to those before."""
    name: str = request.param

    def opened(table: np.ndarray, score: CandidateScore, threads: int) -> Scan:
        storage = storage_of(name, score) if table.shape[1] <= 1 << 17 else "float32"  # 8 bits go no further
        return Scan(table, score, threads, name, storage)

    return opened
