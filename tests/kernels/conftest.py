"""Skips these tests, with the reason, where the library was not built."""

from __future__ import annotations

import pytest

from mmkg_sdk.kernels import instruction_sets, library


@pytest.fixture(autouse=True)
def _built() -> None:
    found = library()
    if isinstance(found, str):
        pytest.skip(found)


@pytest.fixture(params=instruction_sets() or ["none"])
def instruction_set(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name
