"""From what a process replied to a row. All numbers here are made up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmkg_sdk.bench.gpu.cells import Cell
from mmkg_sdk.bench.gpu.contenders import CONTENDERS
from mmkg_sdk.bench.gpu.point import GpuPoint
from mmkg_sdk.bundle import Bundle
from tests.bench.gpu.made_up import CEILINGS

SCAN = Cell("gpu-scan", 32, "queries", k=10)


def reply(gpu_ms: float, enqueue_ms: float) -> dict[str, Any]:
    samples = {"gpu": [gpu_ms] * 9, "gpu_warm": [gpu_ms / 2] * 9, "gpu_graph": [gpu_ms / 4] * 9}
    samples |= {"enqueue": [enqueue_ms] * 9, "host": [3 * gpu_ms] * 9, "h2d": [0.1] * 9, "d2h": [0.2] * 9}
    return {
        "samples": {**samples, "first": [70.0], "notes": {}},
        "rates": [1000.0, 1100.0, 900.0],
        "served": None,
        "offered_per_second": None,
        "open_ms": 12.0,
        "watched": {"sm_mhz": 1900.0},
        "throttled": ["power limit"],
        "mj_per_item": 2.5,
        "watts": 300.0,
    }


@pytest.fixture
def point(golden_bundle: Path) -> GpuPoint:
    way = CONTENDERS["kernels"]["kernels"]
    return GpuPoint("kernels", way, SCAN, Bundle.open(golden_bundle), "cuda:0", CEILINGS)


def test_work_is_what_the_first_pass_reads_and_multiplies(point: GpuPoint) -> None:
    point.replies.append(reply(gpu_ms=0.5, enqueue_ms=0.1))
    row = point.row()
    rows, width, batch = 40, 32, 32
    flop, read = 2 * rows * width, rows * width * 2 / batch  # bfloat16, shared by the batch
    assert row.numbers["flop_per_item"] == flop
    assert row.numbers["bytes_per_item"] == read
    per_second = batch / 0.5e-3
    least_s = max(flop / 100_000e9, read / 1000e9)
    assert row.numbers["percent_of_ceiling"] == pytest.approx(100 * per_second * least_s)
    assert row.bound == "reading"
    assert (row.numbers["gpu_ms_p50"], row.numbers["gpu_graph_ms_p50"]) == (0.5, 0.125)
    # Nine samples carry a median and no tail.
    assert row.numbers["gpu_ms_p99"] is None
    assert row.numbers["mj_per_item"] == 2.5
    assert row.note == "slower clocks: power limit"


def point_of(mode: str, bundle: Path, contender: str = "kernels", k: int | None = None) -> GpuPoint:
    cell = Cell(mode, 32, "queries", k=k)  # type: ignore[arg-type]
    found = GpuPoint(contender, CONTENDERS[contender][contender], cell, Bundle.open(bundle), "cuda:0", CEILINGS)
    found.replies.append(reply(gpu_ms=0.5, enqueue_ms=0.1))
    return found


def test_a_query_reads_the_core_once_a_batch_and_an_answer_scans_after_it(golden_bundle: Path) -> None:
    """By hand, of two layers of width 32 with 48 inside and a Tucker core; float32 at 10,000 GFLOP/s and 1,000 GB/s."""
    asked, answered = (
        point_of(f"gpu-{stage}", golden_bundle, "torch", k) for stage, k in (("query", None), ("answer", 9))
    )
    config = asked.bundle.config
    d, f, layers = config.embedding_dim, config.feedforward_dim, config.num_decoder_layers
    weights = layers * (4 * d * d + 2 * d * f) + d**3 + d * d
    query = asked.row().numbers
    moved = 24 + 12 * d + 4 * weights / 32
    assert query["bytes_per_item"] == moved
    flop = query["flop_per_item"]
    assert flop is not None
    query_s, scan_s = max(flop / 10_000e9, moved / 1000e9), max(2 * 40 * 32 / 100_000e9, 40 * 32 * 2 / 32 / 1000e9)
    assert query["ceiling_per_second"] == pytest.approx(1 / query_s)
    both = answered.row().numbers
    # Queries in the bundle's float32, then the first pass in bfloat16: neither hides behind the other.
    assert both["ceiling_per_second"] == pytest.approx(1 / (query_s + scan_s))
    assert both["percent_of_ceiling"] == pytest.approx(100 * 32 / 0.5e-3 * (query_s + scan_s))


def test_distances_are_read_in_float32_and_cost_their_roots(golden_bundles: Callable[..., Path]) -> None:
    point = point_of("gpu-scan", golden_bundles("db15k_like", "fp32", "adamf_mat"), k=9)
    rows, width = point.bundle.table.shape
    numbers = point.row().numbers
    assert numbers["flop_per_item"] == 7 * rows * width / 2
    assert numbers["bytes_per_item"] == rows * width * 4 / 32


def test_what_depends_on_texts_is_not_counted_and_says_so(toys: Callable[[str], Path]) -> None:
    row = point_of("gpu-answer", toys("mre") / "bundle", "torch").row()
    assert row.no_work == "the operations of gpu-answer depend on texts and images here, and are not counted"
    assert "percent_of_ceiling" not in row.numbers


def test_what_the_host_cannot_launch_faster_is_bound_by_launching(point: GpuPoint) -> None:
    point.replies.append(reply(gpu_ms=0.5, enqueue_ms=0.45))
    assert point.row().bound == "launching"


def test_a_precision_without_a_ceiling_has_no_share_and_says_why(golden_bundle: Path) -> None:
    way = CONTENDERS["torch"]["torch, bf16 in blocks"]
    ceilings = type(CEILINGS)(CEILINGS.read, CEILINGS.arithmetic | {"bfloat16": CEILINGS.arithmetic["float16"]})
    point = GpuPoint("torch", way, SCAN, Bundle.open(golden_bundle), "cuda:0", ceilings)
    point.replies.append(reply(gpu_ms=0.5, enqueue_ms=0.1))
    row = point.row()
    assert (row.bound, row.no_work) == (None, "none made up")
    assert row.numbers["percent_of_ceiling"] is None


def test_a_place_that_failed_has_its_reason(point: GpuPoint) -> None:
    assert (point.row().status, point.row().note, point.row().numbers) == ("not measured", "not reached", {})
    point.note, point.failed = "out of memory", True
    assert (point.row().status, point.row().note) == ("failed", "out of memory")
    assert not point.open
