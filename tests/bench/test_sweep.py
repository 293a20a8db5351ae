"""A whole benchmark of a small bundle. Nothing here depends on how fast anything is."""

from __future__ import annotations

import csv
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmkg_sdk import QueryError
from mmkg_sdk.bench import BenchReport, run_benchmark
from mmkg_sdk.bench.curves import Counts, Tokens

PLAIN, TABLE, TORCH = "ONNX Runtime", "ONNX Runtime, token table", "torch"
COUNTS: Counts = {"all": [4, 9]}


def saved(folder: Path) -> dict[str, Any]:
    results: dict[str, Any] = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return results


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bench") / "results"


@pytest.fixture(scope="module")
def report(golden_bundle: Path, folder: Path) -> BenchReport:
    return run_benchmark(golden_bundle, folder, COUNTS, threads=1, seconds=0.02, rounds=2)


def test_every_contender_is_measured_at_every_point_in_every_round(report: BenchReport) -> None:
    points = {(row.contender, row.token_count) for row in report.rows}
    encoders = {(name, count) for name in (PLAIN, TABLE, TORCH) for count in (4, 9)}
    assert points == encoders | {(TORCH, None), (PLAIN, None)}
    assert len(report.rows) == len(points)
    for row in report.rows:
        assert (row.status, row.rounds, row.note) == ("measured", 2, None)
        if row.mode == "query":
            assert row.samples >= 600
            values = [row.latency_ms_min, row.latency_ms_p50, row.latency_ms_p99, row.latency_ms_max]
        else:
            assert row.samples >= 6
            values = [row.per_second_min, row.per_second, row.per_second_max]
        assert None not in values
        assert values == sorted(values)
        assert values[0] > 0


def test_contenders_agree_with_the_plain_graph(report: BenchReport) -> None:
    for row in report.rows:
        if row.mode == "throughput":
            assert row.max_difference is not None
            assert row.max_difference < 1e-5
            assert (row.max_difference == 0) == (row.contender == PLAIN)


def test_csv_says_what_json_says(report: BenchReport, folder: Path) -> None:
    written = saved(folder)
    assert written == json.loads(json.dumps(report.to_json()))
    assert written["complete"] is True
    with (folder / "results.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert rows == [{k: "" if v is None else str(v) for k, v in row.items()} for row in written["rows"]]


def test_conditions_are_recorded(report: BenchReport, golden_bundle: Path) -> None:
    assert report.settings == {
        "token_counts": COUNTS,
        "seconds": 0.02,
        "rounds": 2,
        "threads": 1,
        "omp_wait_policy": os.environ.get("OMP_WAIT_POLICY", "PASSIVE"),
        "seed": 0,
        "reference": PLAIN,
    }
    assert report.bundle["precision"] == "fp32"
    assert {"load_average_before", "load_average_after", "loaded_machine", "bundle_sha256"} <= set(report.environment)


def test_plot_is_a_picture_with_something_drawn(report: BenchReport, folder: Path) -> None:
    from PIL import Image

    with Image.open(folder / "throughput.png") as image:
        assert image.format == "PNG"
        assert image.width > 600
        colours = {colour for _, colour in image.convert("RGB").getcolors(maxcolors=1 << 20) or []}
    assert {(0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00), (0x00, 0x9E, 0x73)} <= colours


def test_table_has_a_line_per_token_count_and_backend(report: BenchReport) -> None:
    lines = report.table().splitlines()
    assert lines[2] == "Entities per second (entity_encoder)"
    assert [line.split()[0] for line in lines[4:6]] == ["4", "9"]
    assert "x)" in lines[4]
    assert any(line.startswith("torch ") for line in lines[6:])
    assert any(line.startswith("ONNX Runtime ") for line in lines[6:])


def test_a_killed_contender_is_a_marked_row_and_the_sweep_goes_on(golden_bundle: Path, tmp_path: Path) -> None:
    """As when the system ends a process for want of memory: its point fails, and the next one has a new process."""
    seen: list[dict[str, Any]] = []

    def kill_one(message: str) -> None:
        if message.endswith(", 9 tokens"):
            seen.append(saved(tmp_path))
            (worker,) = [child for child in children() if "_token_table" in child[1]]
            os.kill(worker[0], signal.SIGKILL)

    report = run_benchmark(
        golden_bundle, tmp_path, {"all": [4, 9, 16]}, threads=1, seconds=0.02, rounds=1, plot=False, progress=kill_one
    )
    status = {(row.contender, row.token_count): row.status for row in report.rows}
    assert [point for point, value in status.items() if value != "measured"] == [(TABLE, 9)]
    (failed,) = [row for row in report.rows if row.status == "failed"]
    assert failed.note is not None
    assert "killed (signal 9)" in failed.note
    assert failed.per_second is None
    assert "failed" in report.table()
    # What lay on the disk at that moment: the earlier points measured, the later ones said to be not.
    (partial,) = seen
    assert partial["complete"] is False
    before = {(r["contender"], r["token_count"]): r["status"] for r in partial["rows"] if r["mode"] != "query"}
    assert before == {
        (name, count): "measured" if count == 4 else "not measured"
        for name in (PLAIN, TABLE, TORCH)
        for count in (4, 9, 16)
    }


def test_an_interrupted_sweep_leaves_its_finished_rows_and_no_process(golden_bundle: Path, tmp_path: Path) -> None:
    def interrupt(message: str) -> None:
        if message.endswith(", 9 tokens"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_benchmark(
            golden_bundle, tmp_path, COUNTS, threads=1, seconds=0.02, rounds=1, plot=False, progress=interrupt
        )
    rows = saved(tmp_path)["rows"]
    assert {row["token_count"] for row in rows if row["status"] == "measured"} == {None, 4}
    assert children() == []


def test_a_missing_package_is_said_and_the_others_are_measured(
    golden_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A package of the same name that behaves as if it were not there, for the contenders' processes only."""
    (tmp_path / "onnxruntime").mkdir()
    (tmp_path / "onnxruntime" / "__init__.py").write_text("raise ModuleNotFoundError('gone', name='onnxruntime')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    report = run_benchmark(golden_bundle, tmp_path, {"all": [4]}, threads=1, seconds=0.02, rounds=1)
    for row in report.rows:
        if row.backend == "torch":
            assert row.status == "measured"
            assert row.max_difference is None  # there was nothing to compare with
        else:
            assert row.status == "not measured"
            assert row.note is not None
            assert "pip install 'mmkg_sdk[cpu]'" in row.note
    assert "not measured" in report.table()


def test_a_deep_model_has_no_token_table_and_the_report_says_so(
    golden_bundles: Callable[..., Path], tmp_path: Path
) -> None:
    report = run_benchmark(
        golden_bundles("deep_more_rel", "fp32"), tmp_path, {"all": [5]}, threads=1, seconds=0.02, rounds=1
    )
    (row,) = [row for row in report.rows if row.contender == TABLE]
    assert row.status == "not measured"
    assert row.note is not None
    assert "exact for one entity encoder layer only" in row.note
    assert [r.status for r in report.rows if r.contender != TABLE] == ["measured"] * 4


@pytest.mark.parametrize(
    ("family", "case", "panels"),
    [
        (
            "mimic",
            "base",
            {("texts", "text"): (6, 8), ("images", "visual"): (5, 10), ("pairs", "text"): (6, 8)},
        ),
        ("mkgformer", "lp_pretrain_small", {("queries", "text"): (6, 8), ("queries", "visual"): (5, 10)}),
        ("mkgformer", "mre_small", {("sentences", "text"): (6, 8), ("sentences", "visual"): (5, 10)}),
    ],
    ids=["mimic", "links", "relations"],
)
def test_encoders_of_one_length_are_made_anew_for_each_number_of_tokens(
    family: str,
    case: str,
    panels: dict[tuple[str, Tokens], tuple[int, int]],
    golden_bundles: Callable[..., Path],
    tmp_path: Path,
) -> None:
    counts: Counts = {"text": (8, 6), "visual": (5, 10)}
    report = run_benchmark(golden_bundles(case, "fp32", family), tmp_path, counts, threads=1, seconds=0.02, rounds=1)
    assert report.panels() == list(panels)
    for panel, expected in panels.items():
        for name in (TORCH, PLAIN):
            assert tuple(row.token_count for row in report.curve(name, panel)) == expected
        assert f"{panel[0].capitalize()} per second" in report.table()
    for row in report.rows:
        if row.mode == "throughput":
            assert row.max_difference is not None
            assert row.max_difference < 1e-4  # both runtimes answer the same questions with the same weights
            assert row.items_per_sample
        elif case == "lp_pretrain_small":
            assert row.latency_ms_p50 is not None
        else:  # made of token ids
            assert row.status == "failed"
            assert row.note is not None
            assert "has no tokenizer" in row.note
    assert (tmp_path / "throughput.png").is_file()


@pytest.mark.parametrize("options", [{"threads": 0}, {"seconds": 0}, {"seconds": float("nan")}, {"rounds": 0}])
def test_settings_out_of_range_are_refused_before_anything_is_written(
    golden_bundle: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    (name,) = options
    with pytest.raises(QueryError, match=name):
        run_benchmark(golden_bundle, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def children() -> list[tuple[int, str]]:
    """Process id and command line of every benchmark process that we started."""
    found = []
    for task in Path("/proc/self/task").iterdir():
        for child in (task / "children").read_text().split():
            command = Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            if "mmkg_sdk.bench.worker" in command:
                found.append((int(child), command))
    return found
