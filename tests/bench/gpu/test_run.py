"""The whole benchmark of a GPU, walked on a processor with a clock of the host. Nothing here is a time of a GPU."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from mmkg_sdk.bench import BenchReport, compare_reports, read_report, report_table
from mmkg_sdk.bench.gpu.point import NOT_REACHED
from mmkg_sdk.bench.gpu.run import run_gpu_benchmark
from mmkg_sdk.bench.report.results import Row
from mmkg_sdk.errors import BackendError, QueryError
from tests.bench.gpu.made_up import CEILINGS

BATCH, K, TOKENS = 2, 3, 4
HOST = {"device": "cpu", "clock": "host", "threads": 1, "ceilings": CEILINGS}
SMALL = {"batches": [BATCH], "best": [K], "token_counts": [TOKENS], "seconds": 0.1, "plot": False}
PEERS = {"jax": "jax[cuda13]", "flashlib": "flashlib"}
ABSENT = next((name for name in PEERS if importlib.util.find_spec(name) is None), None)


@pytest.fixture(scope="module")
def found(golden_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[BenchReport, Path]:
    folder = tmp_path_factory.mktemp("bench-gpu")
    backends = ["kernels", "onnxruntime", *([ABSENT] if ABSENT else [])]
    arguments = HOST | SMALL | {"backends": backends, "plot": True}
    return run_gpu_benchmark(golden_bundle, folder, **arguments), folder  # type: ignore[arg-type]


def row(report: BenchReport, contender: str, mode: str) -> Row:
    (only,) = [one for one in report.rows if (one.contender, one.mode) == (contender, mode)]
    return only


def test_every_stage_is_a_row_with_what_it_was_measured_at(found: tuple[BenchReport, Path]) -> None:
    report, _ = found
    stages = {"gpu-scan": (K, None), "gpu-query": (None, None), "gpu-answer": (K, None), "gpu-encode": (None, TOKENS)}
    for stage, (k, tokens) in stages.items():
        one = row(report, "kernels", stage)
        assert (one.status, one.batch, one.k, one.token_count) == ("measured", BATCH, k, tokens), one.note
        assert one.numbers["latency_ms_p50"]
        assert one.numbers["per_second"] is not None
    scanned = row(report, "kernels", "gpu-scan").numbers
    for name in ("gpu_ms_p50", "gpu_warm_ms_p50", "h2d_ms_p50", "d2h_ms_p50", "first_ms", "open_ms"):
        assert scanned[name] is not None, name
    # Rows x width multiply-adds for a query, by hand: the golden table has 40 rows of 32 numbers.
    rows, width = 40, 32
    assert scanned["flop_per_item"] == 2 * rows * width
    assert scanned["percent_of_ceiling"]


def test_answers_are_compared_with_those_of_the_cpu(found: tuple[BenchReport, Path]) -> None:
    report, _ = found
    assert row(report, "kernels", "gpu-scan").numbers["right_ids"] == 1
    assert row(report, "kernels", "gpu-answer").numbers["right_ids"] == 1
    for contender in ("kernels", "onnxruntime"):
        for stage in ("gpu-query", "gpu-encode"):
            difference = row(report, contender, stage).max_difference
            assert difference is not None
            assert difference < 1e-5


def test_what_cannot_be_timed_is_said(found: tuple[BenchReport, Path]) -> None:
    report, _ = found
    note = row(report, "onnxruntime", "gpu-query").note or ""
    assert "no enqueue time: each run has a stream of ONNX Runtime's own" in note
    assert "no graph time" in note
    assert "no gpu time: an answer is one call" in (row(report, "kernels", "gpu-answer").note or "")


def test_queries_and_answers_have_their_share_of_the_ceiling(found: tuple[BenchReport, Path]) -> None:
    report, folder = found
    for contender in ("kernels", "onnxruntime"):
        asked, answered = (row(report, contender, f"gpu-{stage}").numbers for stage in ("query", "answer"))
        assert asked["percent_of_ceiling"]
        assert answered["percent_of_ceiling"]
        # An answer is a query and a scan of the table: 40 rows of 32 numbers.
        assert answered["flop_per_item"] - asked["flop_per_item"] == 2 * 40 * 32  # type: ignore[operator]
    assert row(report, "kernels", "gpu-answer").bound == "reading"
    for text in (report_table(report), (folder / "report.html").read_text(encoding="utf-8")):
        assert "of the ceiling" in text.replace("</th>", "").split("On the host, answer")[1].split("per second: two")[0]


def test_where_every_node_ran_stands_in_the_report(found: tuple[BenchReport, Path]) -> None:
    report, folder = found
    providers = report.environment["providers"]
    peer = "onnxruntime, MatMul and TopK"
    assert set(providers) == {"onnxruntime", peer}  # kernels are no graphs
    assert providers[peer] == {"MatMul and TopK": {"CPUExecutionProvider": {"MatMul": 1, "TopK": 1}}}
    graphs = providers["onnxruntime"]
    assert {"query_encoder"} < set(graphs)
    for placed in graphs.values():
        assert list(placed) == ["CPUExecutionProvider"]
        assert placed["CPUExecutionProvider"]["Gather"] > 0
    line = next(line for line in report_table(report).splitlines() if "query_encoder  CPUExecutionProvider" in line)
    assert str(sum(graphs["query_encoder"]["CPUExecutionProvider"].values())) in line
    assert "Providers of all nodes, ONNX Runtime" in (folder / "report.html").read_text(encoding="utf-8")


@pytest.mark.skipif(ABSENT is None, reason="every peer is installed here")
def test_a_peer_that_is_not_installed_is_a_row_with_the_command(found: tuple[BenchReport, Path]) -> None:
    assert ABSENT is not None
    one = row(found[0], ABSENT, "gpu-scan")
    assert one.status == "not measured"
    assert f"pip install '{PEERS[ABSENT]}'" in (one.note or "")


def test_queries_arrive_at_random_moments_and_fresh_processes_answer(found: tuple[BenchReport, Path]) -> None:
    answered = row(found[0], "kernels", "gpu-answer")
    assert answered.load == 0.75
    assert answered.numbers["offered_per_second"]
    assert answered.numbers["served_ms_p50"] is not None
    first = row(found[0], "kernels", "cold-start").numbers["first_answer_ms"]
    assert first is not None
    assert first > 0


def test_the_files_say_what_was_returned_and_that_it_was_no_gpu(found: tuple[BenchReport, Path]) -> None:
    report, folder = found
    assert sorted(path.name for path in folder.iterdir()) == ["report.html", "results.csv", "results.json"]
    read = read_report(folder / "results.json")
    assert read.complete
    assert read.rows == report.rows
    assert {change.verdict for change in compare_reports(report, read).changes} == {"no difference"}
    for text in (report_table(report), (folder / "report.html").read_text(encoding="utf-8")):
        assert "these are no times of a GPU" in text


def test_a_cut_leaves_what_was_done(golden_bundle: Path, tmp_path: Path) -> None:
    def cut(line: str) -> None:
        if "gpu-query" in line:
            raise KeyboardInterrupt

    arguments = HOST | SMALL | {"backends": ["kernels"], "stages": ["gpu-query", "gpu-scan"], "progress": cut}
    with pytest.raises(KeyboardInterrupt):
        run_gpu_benchmark(golden_bundle, tmp_path, **arguments)  # type: ignore[arg-type]
    left = read_report(tmp_path / "results.json")
    assert not left.complete
    assert row(left, "kernels", "gpu-scan").status == "measured"
    assert (row(left, "kernels", "gpu-query").status, row(left, "kernels", "gpu-query").note) == (
        "not measured",
        NOT_REACHED,
    )
    assert "The sweep did not finish." in left.remarks()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"clock": "device"}, "expected 'cuda' or 'cuda:N'"),
        ({"device": "cuda:0"}, "expected 'cuda' or 'cuda:N'"),
        ({"backends": ["cublas"]}, "unknown backend 'cublas'; expected some of kernels, tensorrt"),
        ({"backends": []}, "no backend given"),
        ({"stages": ["encode"]}, "stage 'encode'; a bundle for link-prediction is measured in gpu-scan"),
        ({"batches": [0]}, "batch is [0]; expected whole numbers from 1"),
        ({"best": [4000]}, "k is [4000]"),
        ({"token_counts": [1]}, "token count 1"),
        ({"seconds": 0.0}, "seconds is 0.0"),
    ],
)
def test_nonsense_is_refused_before_anything_is_written(
    given: dict[str, object], said: str, golden_bundle: Path, tmp_path: Path
) -> None:
    with pytest.raises(QueryError) as refused:
        run_gpu_benchmark(golden_bundle, tmp_path / "out", **(HOST | SMALL | given))  # type: ignore[arg-type]
    assert said in str(refused.value)
    assert not (tmp_path / "out").exists()


def test_a_gpu_that_is_not_there_is_refused(
    golden_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MMKG_CUDA_DRIVER", str(tmp_path / "no-driver.so"))
    with pytest.raises(BackendError, match="device 'cuda:3' asked for, but NVIDIA's driver is not installed here"):
        run_gpu_benchmark(golden_bundle, tmp_path / "out", device="cuda:3")
