"""A local Ray of two workers for the tests of this folder.

It ends with them: a process holds one Ray, and tests of other folders measure with one that they start.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.places import ROOT


@pytest.fixture(scope="package")
def ray() -> Iterator[Any]:
    found = pytest.importorskip("ray", reason="Ray is not installed")
    found.init(
        num_cpus=3,  # Ray Data reads with one, beside two actors
        include_dashboard=False,
        object_store_memory=200 << 20,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": str(ROOT)}},
    )
    yield found
    found.shutdown()
