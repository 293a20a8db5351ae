"""mmkg-sdk bench quality."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from mmkg_sdk.bench.quality.run import run_quality
from mmkg_sdk.bench.quality.shown import quality_plots
from tests.cli.running import ask, mmkg


def test_tables_for_people_and_json_for_machines(golden_bundle: Path, tmp_path: Path) -> None:
    options = ("--seeds", "2", "--seconds", "0.001", "--threads", "1", "--no-plot")
    shown = mmkg("bench", "quality", golden_bundle, *options, "--out", tmp_path / "one").stdout
    head, *_ = shown.splitlines()
    found = json.loads((tmp_path / "one" / "results.json").read_text())
    assert f"MRR x 100 of {found['count']:,} triples (test) is {100 * found['baseline']['value']:.2f}" in head
    lines = [line for line in shown.splitlines() if line.endswith("recommended")]
    (chosen,) = [row for row in found["rows"] if row["recommended"]]
    assert [line.startswith(chosen["level"]) for line in lines] == [True]
    assert "image dropped" in shown
    assert "100 % of the entities" in shown
    again = mmkg("bench", "quality", golden_bundle, *options, "--out", tmp_path / "two", "--json").stdout
    values = [[row["value"] for row in one["rows"]] for one in (found, json.loads(again))]
    assert values[0] == values[1]


def test_a_page_and_a_plot_have_every_number(golden_bundle: Path, tmp_path: Path) -> None:
    report = run_quality(golden_bundle, tmp_path, seeds=2, seconds=0.001, threads=1)
    names = ["quality.png", "report.html", "results.csv", "results.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    for row in report.rows:
        assert f"<td>{row.level}</td>" in page
        assert f"<td>{100 * row.value:.2f}</td>" in page
    frontier, shares = quality_plots(report)
    points = [point for line in frontier.lines[:2] for point in line.points]
    expected = [(row.per_second, 100 * row.value) for row in report.of_part("frontier")]
    assert sorted(points) == sorted(expected)
    assert [line.name for line in shares.lines] == ["image dropped", "text dropped", "image of another entity"]
    assert all([x for x, _ in line.points] == [25, 50, 75, 100] for line in shares.lines)
    for line in shares.lines:
        assert all(low <= y <= high for (_, y), (low, high) in zip(line.points, line.spread, strict=True))
    table = list(csv.DictReader((tmp_path / "results.csv").read_text().splitlines()))
    assert [float(row["value"]) for row in table] == [row.value for row in report.rows]
    assert [float(row["hits_at_10"]) for row in table] == [row.metrics["hits_at_10"] for row in report.rows]


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (("--tokens", "image"), "NAME=COUNTS"),
        (("--tokens", "image=1,x"), "whole numbers"),
        (("--tokens", "image=-1"), "at least 0"),
        (("--tokens", "image=1", "--tokens", "visual=2"), "each modality once"),
        (("--split", "dev"), "'dev' is not one of"),
        (("--seeds", "0"), "1<=x<=100"),
    ],
)
def test_an_option_that_means_nothing_is_refused(
    option: tuple[str, ...], said: str, golden_bundle: Path, tmp_path: Path
) -> None:
    done = ask("bench", "quality", golden_bundle, "--out", tmp_path / "out", *option, code=2)
    assert said in " ".join(done.output.replace("│", " ").split())
    assert not (tmp_path / "out").exists()
