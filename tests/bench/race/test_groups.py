"""Who takes turns with whom, and what becomes of those that cannot."""

from __future__ import annotations

import pytest

from mmkg_sdk.bench.machine.ceilings import Ceilings, Rate
from mmkg_sdk.bench.machine.work import Work
from mmkg_sdk.bench.race.groups import Times, available_bytes, groups

CEILINGS = Ceilings(Rate(50.0, "reading"), {"float32": Rate(400.0, "a product")})


@pytest.mark.parametrize(
    ("available", "expected"),
    [(None, [["a", "b", "c"]]), (9.0, [["a", "b", "c"]]), (6.0, [["a", "b"], ["c"]]), (4.0, [["a"], ["b"], ["c"]])],
)
def test_as_many_take_turns_as_fit_in_memory(available: float | None, expected: list[list[str]]) -> None:
    assert groups([("a", 2.0), ("b", 3.0), ("c", 4.0)], available) == expected
    assert groups([], available) == []


def test_available_memory_is_known_or_not() -> None:
    found = available_bytes()
    assert found is None or found > 1 << 20


def test_a_row_has_times_work_and_the_share_of_the_ceiling() -> None:
    turns = Times([4.0, 2.0, 3.0], {"agreement": 1.0}, group=0, other_load=0.0)
    row = turns.row(Work(6e8, 3e7, "float32"), CEILINGS)
    assert (row["status"], row["samples"]) == ("measured", 3)
    assert (row["ms_p50"], row["ms_min"], row["ms_max"]) == (3.0, 2.0, 4.0)
    assert (row["gflop_per_second"], row["gb_per_second"]) == (200.0, 10.0)
    assert (row["ceiling_ms"], row["percent_of_ceiling"], row["bound"]) == (1.5, 50.0, "arithmetic")
    assert row["agreement"] == 1.0


def test_what_failed_has_no_time_and_says_why() -> None:
    for ms, status in (([], "not measured"), ([1.0], "failed")):
        row = Times(ms, note="it died").row(Work(1.0, 1.0, "float32"), CEILINGS)
        assert (row["status"], row["note"], row["ms_p50"]) == (status, "it died", None)
