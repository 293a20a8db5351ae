"""Two measurements side by side."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from mmkg_sdk import DataError
from mmkg_sdk.bench import BenchReport, Row, compare_reports, read_report
from mmkg_sdk.bench.machine.ceilings import Ceilings, Rate
from mmkg_sdk.cli.group import cli

CONDITIONS = {
    "date": "2026-01-01",
    "cpu": "a processor",
    "threads": 2,
    "versions": {"numpy": "2.0", "torch": "2.10"},
    "bundle_sha256": "0" * 64,
    "load_average_before": [0.1, 0.1, 0.1],
    "other_load": 0.0,
    "loaded_machine": False,
}


CEILINGS = Ceilings(Rate(50.0, "reading"), {"float32": Rate(400.0, "a product"), "int8": Rate(None, "no such")})


def row(value: float | None, low: float = 0.0, high: float = 0.0, **changes: Any) -> Row:
    numbers = {"per_second": value, "per_second_low": low or value, "per_second_high": high or value}
    found = Row(
        mode="throughput",
        contender="ONNX Runtime",
        backend="onnxruntime",
        device="cpu",
        graph="entity_encoder",
        tokens="all",
        token_count=14,
        batch=146,
        own_batch=True,
        load=None,
        unit="entities",
        status="measured",
        rounds=2,
        numbers=numbers,
    )
    return replace(found, **changes)


def report(*rows: Row, **conditions: Any) -> BenchReport:
    settings = {"seconds": 1.0, "token_counts": {"all": [14]}}
    return BenchReport(True, {"family": "mygo"}, settings, CONDITIONS | conditions, CEILINGS, rows)


def saved(found: BenchReport, folder: Path) -> Path:
    folder.mkdir()
    found.save(folder)
    return folder / "results.json"


@pytest.mark.parametrize(
    ("before", "after", "percent", "noise", "verdict"),
    [
        (row(100, 95, 105), row(120, 112, 125), 20, 13, "better"),
        (row(100, 95, 105), row(80, 75, 84), -20, 9, "worse"),
        (row(100, 95, 105), row(108, 104, 112), 8, 9, "no difference"),
        (row(100, 95, 105), row(100, 95, 105), 0, 10, "no difference"),
        (row(100), row(100.5), 0.5, 1, "no difference"),  # below 1 % nothing is claimed
        (row(100), row(102), 2, 1, "better"),
    ],
)
def test_a_change_counts_where_the_noise_of_both_sides_does_not_overlap(
    before: Row, after: Row, percent: float, noise: float, verdict: str
) -> None:
    (change,) = compare_reports(report(before), report(after)).changes
    assert (change.percent, change.noise_percent) == (pytest.approx(percent), pytest.approx(noise))
    assert change.verdict == verdict


def test_less_latency_and_less_memory_are_better() -> None:
    numbers = {"latency_ms_p50": 2.0, "latency_ms_p99": 5.0, "resident_mib": 100.0}
    halves = {name: value / 2 for name, value in numbers.items()}
    before, after = (row(None, mode="cold-start", numbers=found) for found in (numbers, halves))
    assert [one.verdict for one in compare_reports(report(before), report(after)).changes] == ["better"] * 3
    assert [one.verdict for one in compare_reports(report(after), report(before)).changes] == ["worse"] * 3


def test_rows_are_matched_by_what_they_measure() -> None:
    """Another batch of the SDK's own choice is part of what changed; one that was asked for is another measurement."""
    found = compare_reports(
        report(row(100), row(50, batch=64, own_batch=False), row(10, token_count=32)),
        report(row(200, batch=292), row(70, batch=128, own_batch=False), row(10, token_count=32, contender="torch")),
    )
    assert [(one.before, one.after) for one in found.changes] == [(100, 200)]
    assert found.unmatched == (
        "only before: ONNX Runtime, throughput, entity_encoder, 14 tokens, batch 64",
        "only before: ONNX Runtime, throughput, entity_encoder, 32 tokens",
        "only after: ONNX Runtime, throughput, entity_encoder, 14 tokens, batch 128",
        "only after: torch, throughput, entity_encoder, 32 tokens",
    )


def test_what_failed_on_one_side_says_why() -> None:
    failed = row(None, status="failed", note="killed", numbers={})
    found = compare_reports(report(row(100)), report(failed))
    assert found.changes == ()
    assert found.unmatched == (
        "only before: ONNX Runtime, throughput, entity_encoder, 14 tokens, per_second (killed on the other side)",
    )
    (neither,) = compare_reports(report(failed), report(failed)).unmatched
    assert neither.endswith("14 tokens (killed, then killed)")


def test_conditions_that_differ_are_named_before_the_numbers() -> None:
    other = report(row(100), cpu="another", versions={"numpy": "2.0", "onnxruntime": "1.24"}, date="2026-02-02")
    found = compare_reports(report(row(100)), replace(other, settings={"seconds": 2.0, "token_counts": {"all": [14]}}))
    assert found.conditions == {
        "cpu": ("a processor", "another"),
        "versions.torch": ("2.10", None),
        "versions.onnxruntime": (None, "1.24"),
        "settings.seconds": (1.0, 2.0),
    }
    lines = found.table().splitlines()
    assert lines[:2] == ["Conditions that differ:", "  cpu: a processor -> another"]
    assert next(i for i, line in enumerate(lines) if "no difference" in line) > 5
    assert compare_reports(report(row(100)), report(row(100))).table().startswith("Conditions: the same.")


def test_what_makes_changes_doubtful_is_said() -> None:
    loaded = report(row(100, rounds=1), other_load=1.5, loaded_machine=True)
    found = compare_reports(replace(loaded, complete=False), report(row(100)))
    assert len(found.warnings) == 3
    assert found.warnings[0] == "before: other work took about 1.5 cores meanwhile."
    assert found.changes[0].one_round


def test_a_file_reads_back_as_it_was_saved(tmp_path: Path) -> None:
    one = report(row(100, 95, 105))
    assert read_report(saved(one, tmp_path / "a")) == one


def test_the_command_prints_table_or_json(tmp_path: Path) -> None:
    files = [str(saved(report(row(value)), tmp_path / name)) for name, value in (("a", 100.0), ("b", 150.0))]
    shown = CliRunner().invoke(cli, ["bench", "compare", *files])
    assert shown.exit_code == 0
    assert "+50.0 %" in shown.output
    found = json.loads(CliRunner().invoke(cli, ["bench", "compare", *files, "--json"]).output)
    assert found["changes"][0]["verdict"] == "better"
    assert set(found) == {"conditions", "warnings", "changes", "unmatched"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not JSON"),
        ("[1]", "has no format_version"),
        ('{"rows": []}', "has no format_version"),
        ('{"format_version": 3}', "is of format version 3, this mmkg_sdk reads 4"),
        ('{"format_version": 4}', "is damaged"),
        (
            '{"format_version": 4, "complete": true, "bundle": {}, "settings": {}, "environment": {}, "rows": [{}]}',
            "dama",
        ),
        ("\xff\xfe", "is not JSON"),
    ],
)
def test_what_is_no_report_of_this_format_is_refused(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=said):
        read_report(path)


def test_numbers_that_are_none_are_refused(tmp_path: Path) -> None:
    path = saved(report(row(100)), tmp_path / "a")
    found = json.loads(path.read_text())
    found["rows"][0]["numbers"]["per_second"] = "fast"
    path.write_text(json.dumps(found))
    with pytest.raises(DataError, match="damaged"):
        read_report(path)
    found["rows"][0]["numbers"]["per_second"] = 100.0
    found["ceilings"]["read"]["per_second"] = "much"
    path.write_text(json.dumps(found))
    with pytest.raises(DataError, match="a ceiling is no number"):
        read_report(path)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot read"):
        read_report(tmp_path / "results.json")
