"""The page and the comparison of `bench gpu`, from a file of made-up numbers: no run on a GPU has been recorded yet."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest

from mmkg_sdk.bench import BenchReport, compare_reports, read_report, report_table
from mmkg_sdk.bench.report.gpu_tables import gpu_plots, gpu_tables
from mmkg_sdk.bench.report.page import write_page
from mmkg_sdk.bench.report.shown import report_page
from tests.bench.report.test_page import WITNESS, body, in_browser
from tests.places import ROOT

MADE_UP = Path(__file__).with_name("gpu_made_up.json")


@pytest.fixture(scope="module")
def report() -> BenchReport:
    return read_report(MADE_UP)


@pytest.fixture(scope="module")
def page(report: BenchReport, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_page(report_page(report), path)
    return path


def test_the_recorded_file_says_that_nothing_in_it_was_measured(report: BenchReport) -> None:
    assert "nothing here was measured" in json.loads(MADE_UP.read_text())["made_up"]
    assert "Made up for the test: nothing in this file was measured." in report.remarks()
    kept = (ROOT / "bench" / "results").rglob("*.json")
    assert not [path for path in kept if "made_up" in path.read_text()[:200]]


def test_the_browser_draws_every_stage_and_fetches_nothing(page: Path, tmp_path: Path) -> None:
    drawn = in_browser(page.read_text(encoding="utf-8").replace("<style>", WITNESS + "<style>", 1), tmp_path)
    assert 'data-fetched=""' in drawn[:2000]
    lines = [len(re.findall(r'class="trace scatter', part)) for part in drawn.split('id="plot-')[1:]]
    # Encoders against tokens, scans and answers against batch, with their ceilings; queries, which have none here.
    assert lines == [3, 3, 2, 3]
    text = unescape(re.sub(r"<[^>]+>", " ", drawn))
    for words in (
        "ms per batch",
        "Scan: the k best rows of the table, k=10",
        "encode: entities by their number of tokens",
    ):
        assert words in text


def test_every_number_can_be_read_without_a_mouse(page: Path) -> None:
    text = body(page)
    # Of the kernels' scan at batch 32, by hand: 0.02 + 0.001 x 32 ms, half of that warm, 0.8 of it as a graph.
    for cell in ("0.052", "0.0572", "0.078", "0.026", "0.0416", "0.0156", "50 %", "reading", "launching", "1,900"):
        assert f"<td>{cell}</td>" in text, cell
    assert "launches in 2.5 us" in text
    assert "<td>1.0e-07</td>" in text
    assert "<h1>mmkg-sdk bench gpu: a bundle</h1>" in text


def test_shares_of_whole_answers_and_providers_of_nodes_are_shown(page: Path) -> None:
    text = body(page)
    answers = text.split("On the host, answer")[1].split("</table>")[0]
    assert "<td>12 %</td>" in answers
    placed = text.split("Providers of all nodes, ONNX Runtime")[1].split("</table>")[0]
    for cell in ("CUDAExecutionProvider", "14", "MatMul 12, Softmax &lt;b&gt; 2", "CPUExecutionProvider", "Shape 3"):
        assert f"<td>{cell}</td>" in placed, cell


def test_nodes_that_went_elsewhere_are_a_changed_condition(report: BenchReport) -> None:
    placed = {"onnxruntime": {"query_encoder": {"CUDAExecutionProvider": {"MatMul": 11}}}}
    other = replace(report, environment=report.environment | {"providers": placed})
    changed = compare_reports(report, other).conditions
    assert changed["providers.onnxruntime.query_encoder.CUDAExecutionProvider.MatMul"] == (12, 11)


def test_gpu_and_what_is_missing_stand_above_the_numbers(page: Path) -> None:
    text = body(page)
    first = text.index("<h2>")
    assert text.index("A Made-up GPU &lt;i&gt;; host: a made-up processor, 16 of 16 cores; mygo fp32, d=256") < first
    assert text.index("driver 999.01, cuda 99.0, compute capability 9.0") < first
    assert text.index("flashlib: not measured: No module named &#x27;flashlib&#x27; &lt;b&gt;.") < first
    assert "<i>" not in text
    assert "mig" not in text


def test_tables_of_stages_without_rows_are_empty(report: BenchReport) -> None:
    scans = replace(report, rows=tuple(row for row in report.rows if row.mode == "gpu-scan"))
    assert [table.title for table in gpu_tables(scans) if not table.is_empty] == [
        "On the device, scan: the k best rows of the table",
        "On the host, scan: the k best rows of the table",
        "Rightness, energy and clocks, scan: the k best rows of the table",
        "Providers of all nodes, ONNX Runtime",
    ]
    assert len(gpu_plots(scans)) == 1
    assert "not measured" in report_table(scans)


def test_a_slower_kernel_is_worse_and_the_same_one_is_not(report: BenchReport) -> None:
    assert {change.verdict for change in compare_reports(report, report).changes} == {"no difference"}
    rows = list(report.rows)
    at = next(i for i, row in enumerate(rows) if (row.contender, row.mode, row.batch) == ("kernels", "gpu-scan", 32))
    slower = {name: value and 1.2 * value for name, value in rows[at].numbers.items() if name.startswith("gpu_ms")}
    rows[at] = replace(rows[at], numbers=rows[at].numbers | slower)
    found = compare_reports(report, replace(report, rows=tuple(rows)))
    changed = {(one.what, one.number): one.verdict for one in found.changes if one.verdict != "no difference"}
    what = "kernels, gpu-scan, batch 32, k=10"
    assert changed == {(what, "gpu_ms_p50"): "worse", (what, "gpu_ms_p99"): "worse"}
