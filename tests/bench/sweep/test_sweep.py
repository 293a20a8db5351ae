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
from mmkg_sdk.answering.entity_linking import PAIRS
from mmkg_sdk.bench import BenchReport, report_table, run_benchmark
from mmkg_sdk.bench.machine.ceilings import Ceilings
from mmkg_sdk.bench.sweep.places import LOADS
from mmkg_sdk.families.measuring import Counts, Tokens

ENCODERS = ("single-stream", "throughput")
TORCH, ONNXRUNTIME, COMPILED = ANSWERING = ("torch", "ONNX Runtime", "compiled kernels")
PLAIN, TABLE, TORCH_TABLE = "ONNX Runtime, plain", "ONNX Runtime, token table", "torch, token table"
EVERY = ("torch, plain", PLAIN, TORCH, ONNXRUNTIME, TORCH_TABLE, TABLE, COMPILED)
COUNTS: Counts = {"all": [4, 9]}


def saved(folder: Path) -> dict[str, Any]:
    results: dict[str, Any] = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return results


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bench") / "results"


@pytest.fixture(scope="module")
def report(golden_bundle: Path, folder: Path, ceilings: Ceilings) -> BenchReport:
    return run_benchmark(golden_bundle, folder, COUNTS, threads=1, seconds=0.02, rounds=2, ceilings=ceilings)


def test_every_contender_is_measured_at_every_point_in_every_round(report: BenchReport) -> None:
    points = {(row.mode, row.contender, row.token_count, row.load) for row in report.rows}
    answering = [
        ("cold-start", None),
        ("single-stream", None),
        ("offline", None),
        *(("server", load) for load in LOADS),
    ]
    encoders = {("throughput", name, count, None) for name in EVERY for count in (4, 9)}
    assert points == encoders | {(mode, name, None, load) for name in ANSWERING for mode, load in answering}
    assert len(report.rows) == len(points)
    for row in report.rows:
        assert (row.status, row.rounds, row.note) == ("measured", 2, None)


def test_numbers_of_a_row_are_in_order_and_of_its_mode(report: BenchReport) -> None:
    for row in report.rows:
        values = ascending(row.numbers, {"single-stream": "latency_ms", "server": "latency_ms"}.get(row.mode, "rate"))
        if row.mode == "cold-start":
            stages = [row.numbers[name] or 0 for name in ("import_ms", "load_ms", "answer_ms")]
            assert (row.samples, 0 < sum(stages) < values[1]) == (2, True)
            assert (row.numbers["resident_mib"] or 0) <= (row.numbers["peak_mib"] or 0)
        else:
            assert row.samples >= 6
        assert values == sorted(values)
        assert values[0] > 0


def test_every_row_says_how_much_went_in_at_a_time(report: BenchReport) -> None:
    """The SDK encodes 2,048 tokens in a run, the compiled kernels 4,096 entities; questions come in lists of 1,024."""
    for row in report.rows:
        entities = 4096 if row.contender == COMPILED else 2048 // (row.token_count or 1)
        expected = {"throughput": entities, "offline": 1024, "server": 1024}.get(row.mode)
        assert (row.batch, row.own_batch) == (expected, row.mode == "throughput")


def test_arrivals_come_at_a_share_of_the_rate_found_offline(report: BenchReport) -> None:
    for name in ANSWERING:
        rates = [row.numbers["offered_per_second"] or 0 for row in report.of_mode("server") if row.contender == name]
        assert [rate / rates[0] for rate in rates] == pytest.approx([load / LOADS[0] for load in LOADS])


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
    for line, row in zip(rows, written["rows"], strict=True):
        values = {**row, **row["numbers"]}
        del values["numbers"]
        assert {k: v for k, v in line.items() if v} == {k: str(v) for k, v in values.items() if v is not None}


def test_conditions_are_recorded(report: BenchReport, golden_bundle: Path) -> None:
    assert report.settings == {
        "modes": ["cold-start", "single-stream", "offline", "server", "throughput"],
        "token_counts": COUNTS,
        "batch_sizes": [None],
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
    sections = {text.splitlines()[0]: text.splitlines()[1:] for text in report_table(report).split("\n\n")}
    lines = sections["Entities per second (entity_encoder)"]
    assert [line.split()[0] for line in lines[1:3]] == ["4", "9"]
    assert "x)" in lines[1]
    for title in ("Latency of single questions, one after the other", "Queries per second in large lists"):
        assert [line.split("  ")[0] for line in sections[title][1:4]] == list(ANSWERING)
    (server,) = [lines for title, lines in sections.items() if "from the scheduled arrival" in title]
    assert [line.split()[-8] for line in server[1:] if line.startswith(ONNXRUNTIME)] == ["25%", "50%", "75%", "90%"]
    (starts,) = [lines for title, lines in sections.items() if title.startswith("Cold start")]
    assert [line.split()[-1] for line in starts[1:]] == ["2", "2", "2"]


def test_a_killed_contender_is_a_marked_row_and_the_sweep_goes_on(
    golden_bundle: Path, tmp_path: Path, ceilings: Ceilings
) -> None:
    """As when the system ends a process for want of memory: its point fails, and the next one has a new process."""
    seen: list[dict[str, Any]] = []

    def kill_one(message: str) -> None:
        if message.endswith(", 9 tokens"):
            seen.append(saved(tmp_path))
            (worker,) = [child for child in children() if "_token_table" in child[1] and "onnxruntime" in child[1]]
            os.kill(worker[0], signal.SIGKILL)

    report = run_benchmark(
        golden_bundle,
        tmp_path,
        {"all": [4, 9, 16]},
        threads=1,
        seconds=0.02,
        rounds=1,
        plot=False,
        progress=kill_one,
        modes=("throughput",),
        ceilings=ceilings,
    )
    status = {(row.contender, row.token_count): row.status for row in report.rows}
    assert [point for point, value in status.items() if value != "measured"] == [(TABLE, 9)]
    (failed,) = [row for row in report.rows if row.status == "failed"]
    assert failed.note is not None
    assert "killed (signal 9)" in failed.note
    assert failed.numbers == {}
    assert "failed" in report_table(report)
    # What lay on the disk at that moment: the earlier points measured, the later ones said to be not.
    (partial,) = seen
    assert partial["complete"] is False
    before = {(r["contender"], r["token_count"]): r["status"] for r in partial["rows"] if r["mode"] == "throughput"}
    assert before == {
        (name, count): "measured" if count == 4 else "not measured" for name in EVERY for count in (4, 9, 16)
    }


def test_an_interrupted_sweep_leaves_its_finished_rows_and_no_process(
    golden_bundle: Path, tmp_path: Path, ceilings: Ceilings
) -> None:
    def interrupt(message: str) -> None:
        if message.endswith(", 9 tokens"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_benchmark(
            golden_bundle,
            tmp_path,
            COUNTS,
            threads=1,
            seconds=0.02,
            rounds=1,
            plot=False,
            progress=interrupt,
            modes=ENCODERS,
            ceilings=ceilings,
        )
    rows = saved(tmp_path)["rows"]
    assert {row["token_count"] for row in rows if row["status"] == "measured"} == {None, 4}
    assert children() == []


def test_a_missing_package_is_said_and_the_others_are_measured(
    golden_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ceilings: Ceilings
) -> None:
    """A package of the same name that cannot be loaded, for the contenders' processes only; "auto" says so, too."""
    (tmp_path / "onnxruntime").mkdir()
    (tmp_path / "onnxruntime" / "__init__.py").write_text("raise ModuleNotFoundError('gone', name='onnxruntime')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    report = run_benchmark(
        golden_bundle, tmp_path, {"all": [4]}, threads=1, seconds=0.02, rounds=1, modes=ENCODERS, ceilings=ceilings
    )
    for row in report.rows:
        if row.backend == "torch":
            assert row.status == "measured"
            assert row.max_difference is None  # there was nothing to compare with
        else:
            assert row.status == "not measured"
            assert row.note is not None
            assert "pip install 'mmkg_sdk[cpu]'" in row.note
    assert "not measured" in report_table(report)


def test_a_deep_model_has_no_token_table_and_the_report_says_so(
    golden_bundles: Callable[..., Path], tmp_path: Path, ceilings: Ceilings
) -> None:
    report = run_benchmark(
        golden_bundles("deep_more_rel", "fp32"),
        tmp_path,
        {"all": [5]},
        threads=1,
        seconds=0.02,
        rounds=1,
        modes=ENCODERS,
        ceilings=ceilings,
    )
    rewritten = [row for row in report.rows if row.contender in (TORCH_TABLE, TABLE, COMPILED)]
    assert sorted(row.mode for row in rewritten) == ["single-stream", *["throughput"] * 3]
    for row in rewritten:
        assert row.status == "not measured"
        assert row.note is not None
        assert "exact for one entity encoder layer only" in row.note
    assert [row.status for row in report.rows if row not in rewritten] == ["measured"] * 6


@pytest.mark.parametrize(
    ("family", "case", "counts", "panels"),
    [
        (
            "mimic",
            "base",
            {"text": (6,), "visual": (10,)},
            [("texts", "text"), ("images", "visual"), ("pairs", "text")],
        ),
        (
            "mkgformer",
            "lp_pretrain_small",
            {"text": (8, 6), "visual": (5,)},
            [("queries", "text"), ("queries", "visual")],
        ),
    ],
    ids=["mimic", "links"],
)
def test_encoders_of_one_length_are_made_anew_for_each_number_of_tokens(
    family: str,
    case: str,
    counts: Counts,
    panels: list[tuple[str, Tokens]],
    golden_bundles: Callable[..., Path],
    tmp_path: Path,
    ceilings: Ceilings,
) -> None:
    report = run_benchmark(
        golden_bundles(case, "fp32", family),
        tmp_path,
        counts,
        threads=1,
        seconds=0.02,
        rounds=1,
        modes=ENCODERS,
        ceilings=ceilings,
    )
    assert report.panels() == [(*panel, None) for panel in panels]
    for panel in panels:
        for name in (TORCH, ONNXRUNTIME):
            expected = sorted(counts[panel[1]])
            assert [row.token_count for row in report.curve(name, (*panel, None))] == expected
        assert f"{panel[0].capitalize()} per second" in report_table(report)
    for row in report.rows:
        if row.mode == "throughput":
            assert row.max_difference is not None
            assert row.max_difference < 1e-4  # both runtimes answer the same questions with the same weights
            assert row.items_per_sample
            assert row.batch == (8 if row.unit != "pairs" else PAIRS["cpu"])
        elif case == "lp_pretrain_small":
            assert row.numbers["latency_ms_p50"] is not None
        else:  # made of token ids
            assert row.status == "failed"
            assert row.note is not None
            assert "has no tokenizer" in row.note
    assert (tmp_path / "throughput.png").is_file()


def test_kernels_that_make_queries_only_are_measured_with_queries_only(
    golden_bundles: Callable[..., Path], tmp_path: Path, ceilings: Ceilings
) -> None:
    report = run_benchmark(
        golden_bundles("db15k_like", "fp32", "adamf_mat"),
        tmp_path,
        threads=1,
        seconds=0.02,
        rounds=1,
        modes=ENCODERS,
        ceilings=ceilings,
        plot=False,
    )
    found = {(row.mode, row.contender): row.status for row in report.rows}
    runtimes = {(mode, name): "measured" for mode in ENCODERS for name in (TORCH, ONNXRUNTIME)}
    assert found == runtimes | {("single-stream", COMPILED): "measured"}


@pytest.mark.parametrize("options", [{"threads": 0}, {"seconds": 0}, {"seconds": float("nan")}, {"rounds": 0}])
def test_settings_out_of_range_are_refused_before_anything_is_written(
    golden_bundle: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    (name,) = options
    with pytest.raises(QueryError, match=name):
        run_benchmark(golden_bundle, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def ascending(numbers: dict[str, float | None], kind: str) -> list[float]:
    """What must be in order, least first; percentiles that the samples do not carry left out."""
    if "first_answer_ms" in numbers:
        names = ["first_answer_ms_low", "first_answer_ms", "first_answer_ms_high"]
    elif kind == "rate":
        names = [f"per_second{end}" for end in ("_min", "_low", "", "_high", "_max")]
    else:
        names = [f"latency_ms_{name}" for name in ("min", "p50_low", "p50", "p50_high", "max")]
        tail = [f"latency_ms_{name}" for name in ("p50", "p90", "p99", "p99.9", "max")]
        assert [numbers[name] for name in tail if numbers[name] is not None] == sorted(
            value for name in tail if (value := numbers[name]) is not None
        )
    return [value for name in names if (value := numbers[name]) is not None]


def children() -> list[tuple[int, str]]:
    """Process id and command line of every benchmark process that we started."""
    found = []
    for task in Path("/proc/self/task").iterdir():
        for child in (task / "children").read_text().split():
            command = Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            if "mmkg_sdk.bench.machine.worker" in command:
                found.append((int(child), command))
    return found
