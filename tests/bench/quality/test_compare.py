"""bench compare of two results of bench quality."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mmkg_sdk import DataError
from mmkg_sdk.bench import QualityComparison, compare_results
from mmkg_sdk.bench.quality.compare import AS_IT_IS, compare_quality
from mmkg_sdk.bench.quality.results import QualityReport, Row, quality_report
from tests.cli.running import mmkg
from tests.places import ROOT

KEPT = ROOT / "bench" / "results"


def row(change: str, difference: float, low: float, high: float, **others: Any) -> Row:
    value = 0.4 + difference
    return Row("robustness", change, "100 %", {}, value, [value], difference, low, high, {}, **others)


def report(*rows: Row, **changes: Any) -> QualityReport:
    found = QualityReport(
        complete=True,
        bundle={"name": "one", "task": "link-prediction"},
        settings={"split": "test", "seeds": [0]},
        environment={"cpu": "a processor"},
        metric="mrr",
        items="triples",
        count=100,
        unit="entities",
        baseline={"value": 0.4, "low": 0.37, "high": 0.43, "metrics": {}},
        rows=rows,
        left_out=(),
    )
    return replace(found, **changes)


def saved(found: QualityReport, folder: Path) -> Path:
    folder.mkdir()
    found.save(folder)
    return folder / "results.json"


def test_a_change_has_the_interval_of_a_difference_of_two() -> None:
    before = report(row("image dropped", -0.20, -0.24, -0.17), row("blur", -0.05, -0.06, -0.04))
    after = report(row("image dropped", -0.04, -0.07, -0.02), row("blur", -0.06, -0.07, -0.05))
    whole, dropped, blur = compare_quality(before, after).changes
    assert (whole.what, whole.verdict, whole.low) == (AS_IT_IS, "no difference", pytest.approx(-0.03 * 2**0.5))
    # 3 hundredths and 3 on the lower side, 2 and 4 on the upper one.
    assert (dropped.low, dropped.high) == pytest.approx((0.16 - 0.18**0.5 / 10, 0.16 + 0.20**0.5 / 10))
    assert (dropped.what, dropped.verdict) == ("image dropped: 100 %", "better")
    assert (blur.verdict, blur.low < -0.01 < blur.high) == ("no difference", True)
    assert compare_quality(after, before).changes[1].verdict == "worse"


def test_speeds_differ_where_the_ranges_of_their_samples_do_not_overlap() -> None:
    slow = row("modalities", 0, 0, 0, per_second=100.0, per_second_min=90.0, per_second_max=115.0)
    fast = replace(slow, per_second=120.0, per_second_min=116.0, per_second_max=130.0)
    change = compare_quality(report(slow), report(fast)).changes[-1]
    assert (change.number, change.low, change.high, change.verdict) == ("per_second", 1.0, 40.0, "better")
    overlap = replace(fast, per_second_min=114.0)
    assert compare_quality(report(slow), report(overlap)).changes[-1].verdict == "no difference"


def test_conditions_rows_without_a_counterpart_and_other_items_are_said(tmp_path: Path) -> None:
    before = saved(report(row("blur", -0.1, -0.2, 0.0)), tmp_path / "before")
    settings = {"split": "valid", "seeds": [0]}
    after = saved(report(row("JPEG", -0.1, -0.2, 0.0), settings=settings, complete=False), tmp_path / "after")
    shown = mmkg("bench", "compare", before, after).stdout
    for line in (
        "  settings.split: test -> valid",
        "only before: blur: 100 %",
        "only after: JPEG: 100 %",
        "before 100 triples (test), after 100 triples (valid): the items are not the same.",
        "after: the measurement did not come to its end.",
    ):
        assert line in shown.splitlines()
    found = json.loads(mmkg("bench", "compare", before, before, "--json").stdout)
    assert [(one["what"], one["verdict"]) for one in found["changes"]] == [
        (AS_IT_IS, "no difference"),
        ("blur: 100 %", "no difference"),
    ]
    assert (found["conditions"], found["unmatched"], found["warnings"]) == ({}, [], [])


def test_results_of_other_commands_and_tasks_are_refused(tmp_path: Path) -> None:
    own = saved(report(), tmp_path / "own")
    speed = KEPT / "question-atlas.json"
    for pair in ((own, speed), (speed, own)):
        with pytest.raises(DataError, match=r"own/results.json is of `bench quality`, .*question-atlas.json is not"):
            compare_results(*pair)
    tags = saved(report(metric="f1", items="sentences"), tmp_path / "tags")
    with pytest.raises(DataError, match=r"has mrr of triples, .* has f1 of sentences"):
        compare_results(own, tags)
    with pytest.raises(DataError, match=r"Expected a results\.json of `mmkg-sdk bench run, gpu or quality`"):
        compare_results(own, tmp_path / "gone.json")


@pytest.mark.parametrize(
    "damage",
    [
        lambda found: found.pop("rows"),
        lambda found: found["rows"][0].update(low=None),
        lambda found: found["rows"][0].update(another=1),
        lambda found: found["baseline"].pop("high"),
        lambda found: found.update(format_version=99),
    ],
)
def test_a_damaged_result_is_one_clear_error(damage: Any, tmp_path: Path) -> None:
    path = saved(report(row("blur", -0.1, -0.2, 0.0)), tmp_path / "own")
    found = json.loads(path.read_text())
    damage(found)
    path.write_text(json.dumps(found))
    with pytest.raises(DataError, match=r"results\.json is (damaged|of format version 99)"):
        compare_results(path, path)


def test_what_a_report_saves_is_what_is_read(tmp_path: Path) -> None:
    before = report(row("blur", -0.1, -0.2, 0.0))
    path = saved(before, tmp_path / "own")
    assert quality_report(json.loads(path.read_text()), path) == before


def test_two_trainings_of_one_family() -> None:
    found = compare_results(KEPT / "quality-mygo.json", KEPT / "quality-mygo-modality-dropout.json")
    assert isinstance(found, QualityComparison)
    changes = {one.what: one for one in found.changes}
    assert changes[AS_IT_IS].verdict == "worse"
    assert changes["image dropped: 100 % of the entities"].verdict == "better"
    assert all(one.startswith("only before: tokens: ") for one in found.unmatched)
