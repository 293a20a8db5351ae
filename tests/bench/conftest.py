"""What the tests of the benchmark share."""

from __future__ import annotations

import pytest

from mmkg_sdk.bench.machine.ceilings import Ceilings, measure_ceilings


@pytest.fixture(scope="session")
def ceilings() -> Ceilings:
    """Of this machine, measured once and in a hurry."""
    return measure_ceilings("cpu", 1, 0.001)
