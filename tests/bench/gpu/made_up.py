"""Numbers that were made up for the tests. They are measurements of nothing."""

from __future__ import annotations

from mmkg_sdk.bench.machine.ceilings import Ceilings, Rate

CEILINGS = Ceilings(
    Rate(1000.0, "made up for the test"),
    {
        "float32": Rate(10_000.0, "made up"),
        "bfloat16": Rate(100_000.0, "made up"),
        "float16": Rate(None, "none made up"),
    },
    launch_us=2.5,
)
