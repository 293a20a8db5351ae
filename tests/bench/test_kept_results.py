"""The measurements in bench/results were written by earlier versions: they open, compare, and are shown for ever."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmkg_sdk.bench import compare_reports, read_report, report_table
from mmkg_sdk.bench.quality.compare import compare_quality
from mmkg_sdk.bench.quality.results import quality_report
from mmkg_sdk.bench.quality.shown import quality_page, quality_plots
from mmkg_sdk.bench.quality.table import quality_head, quality_table
from mmkg_sdk.bench.race.results import by_point, read_race
from mmkg_sdk.bench.race.shown import race_page, race_plots
from mmkg_sdk.bench.race.table import race_table
from mmkg_sdk.bench.report.page import write_page
from mmkg_sdk.bench.report.png import draw_plots
from mmkg_sdk.bench.report.shown import report_page, throughput_plots
from tests.places import ROOT

KEPT = {path: json.loads(path.read_text()) for path in sorted((ROOT / "bench" / "results").rglob("*.json"))}
RACES = [path for path, found in KEPT.items() if "race" in found]
QUALITY = [path for path, found in KEPT.items() if found.get("benchmark") == "quality"]
REPORTS = [
    path for path, found in KEPT.items() if "format_version" in found and "race" not in found and path not in QUALITY
]


def name(path: Path) -> str:
    return path.relative_to(ROOT / "bench" / "results").as_posix()


@pytest.mark.parametrize("path", REPORTS, ids=name)
def test_a_report_is_read_compared_and_shown(path: Path, tmp_path: Path) -> None:
    report = read_report(path)
    assert {change.verdict for change in compare_reports(report, report).changes} == {"no difference"}
    text = report_table(report)
    assert all(contender in text for contender in report.contenders())
    write_page(report_page(report), tmp_path / "report.html")
    draw_plots(throughput_plots(report), report.conditions(), tmp_path / "throughput.png")
    assert (tmp_path / "throughput.png").is_file() == bool(report.panels())


@pytest.mark.parametrize("path", QUALITY, ids=name)
def test_what_quality_found_is_read_compared_and_shown(path: Path, tmp_path: Path) -> None:
    report = quality_report(KEPT[path], path)
    comparison = compare_quality(report, report)
    assert {change.verdict for change in comparison.changes} == {"no difference"}
    assert len({change.what for change in comparison.changes}) == len(report.rows) + 1
    text = quality_table(report)
    assert all(row.level in text for row in report.rows)
    write_page(quality_page(report), tmp_path / "report.html")
    draw_plots(quality_plots(report), quality_head(report), tmp_path / "quality.png")


@pytest.mark.parametrize("path", RACES, ids=name)
def test_a_race_is_read_and_shown(path: Path, tmp_path: Path) -> None:
    result = read_race(path)
    sections = race_table(result).split("\n\n")
    assert len(sections) >= len(by_point(result)) + 2
    measured = {row["contender"] for row in result["rows"] if row["ms_p50"] is not None}
    drawn = {line.name for plot in race_plots(result) for line in plot.lines}
    assert drawn - {"ceiling, float32"} == measured
    write_page(race_page(result), tmp_path / "race.html")
    assert (tmp_path / "race.html").read_text().count("<h2>") == len(race_plots(result)) + len(by_point(result))
