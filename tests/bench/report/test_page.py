"""report.html, as a browser shows it."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import pytest

from mmkg_sdk.bench import BenchReport, Row
from mmkg_sdk.bench.machine.ceilings import Ceilings, Rate
from mmkg_sdk.bench.report.page import write_page
from mmkg_sdk.bench.report.shown import report_page
from mmkg_sdk.bench.sweep.places import LOADS
from tests.browser import in_browser

COUNTS = [4, 16, 64]
NOTE = 'its process was killed </script><script>document.title = "mine"</script> & more'

# In the copy of the page that is tested: what it tried to fetch, and what its policy stopped, goes into the body.
WITNESS = """<script>
const stopped = [];
addEventListener("securitypolicyviolation", event => stopped.push(event.blockedURI));
addEventListener("load", () => setTimeout(() => {
  const fetched = performance.getEntriesByType("resource").map(entry => entry.name);
  document.body.dataset.fetched = fetched.filter(name => !/^(data|blob):/.test(name)).concat(stopped).join(" ");
}, 500));
</script>"""


def row(contender: str, **given: object) -> Row:
    common = {"backend": "onnxruntime", "device": "cpu", "status": "measured", "samples": 3000, "rounds": 2}
    absent = dict.fromkeys(("graph", "tokens", "token_count", "batch", "load", "unit"))
    return Row(**{"contender": contender, **common, **absent, "own_batch": False, **given})  # type: ignore[arg-type]


def rows(contender: str, speed: float) -> list[Row]:
    """Every mode, with numbers that are easy to find again."""
    ends = {"": 1.0, "_low": 0.95, "_high": 1.05, "_min": 0.8, "_max": 1.1}
    found = []
    for count in COUNTS:
        numbers = {f"per_second{end}": speed * share / count for end, share in ends.items()}
        numbers |= {"flop_per_item": 2e6 * count, "bytes_per_item": 4e3 * count, "ceiling_per_second": 2e4 / count}
        numbers |= {"gflop_per_second": 2e-3 * speed, "gb_per_second": 4e-6 * speed, "percent_of_ceiling": speed / 200}
        place = {"graph": "entity_encoder", "tokens": "all", "token_count": count, "unit": "entities"}
        found.append(row(contender, mode="throughput", own_batch=True, bound="arithmetic", **place, numbers=numbers))
    latencies = {"p50": 1.5, "p90": 2.5, "p99": 4.5, "p99.9": None, "min": 1.0, "max": 9.0}
    numbers = {f"latency_ms_{name}": value for name, value in latencies.items()}
    found.append(row(contender, mode="single-stream", numbers=numbers))
    found.append(row(contender, mode="offline", unit="queries", batch=1024, numbers={"per_second": speed}))
    for load in LOADS:
        served = numbers | {"offered_per_second": load * speed}
        found.append(row(contender, mode="server", load=load, unit="queries", sustained=load < 0.8, numbers=served))
    return found


@pytest.fixture(scope="module")
def report() -> BenchReport:
    environment = {
        "date": "2026-01-01T00:00:00+00:00",
        "cpu": "a processor <b>",
        "cpu_flags": ["avx2"],
        "usable_cores": 2,
        "memory_mib": 2048,
        "gpus": [],
        "os": "an os",
        "python": "3.11",
        "versions": {"numpy": "2.0", "torch": None},
        "git_commit": None,
        "git_dirty": None,
        "other_load": 1.5,
        "loaded_machine": True,
    }
    settings = {"token_counts": {"all": COUNTS}, "seconds": 1.0, "rounds": 2, "threads": 2, "reference": "ONNX Runtime"}
    bundle = {"name": "a bundle", "family": "mygo", "precision": "fp32", "config": {"embedding_dim": 256}}
    bundle |= {"bytes": 12_300_000, "export_seconds": 4.5}
    ceilings = Ceilings(Rate(50.0, "reading"), {"float32": Rate(400.0, "a product"), "int8": Rate(None, "no <int8>")})
    place = {"tokens": "all", "token_count": 64, "unit": "entities"}
    torch = [one for one in rows("torch", 1e3) if one.token_count != 64]
    failed = row(
        "torch", mode="throughput", status="failed", note=NOTE, graph="entity_encoder", own_batch=True, **place
    )
    return BenchReport(True, bundle, settings, environment, ceilings, (*torch, failed, *rows("ONNX Runtime", 4e3)))


@pytest.fixture(scope="module")
def page(report: BenchReport, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_page(report_page(report), path)
    return path


def body(page: Path) -> str:
    """What the page says without its script of five megabytes."""
    text = page.read_text(encoding="utf-8")
    return text[text.index("<body>") :]


def test_plots_are_drawn_and_nothing_is_fetched(page: Path, tmp_path: Path) -> None:
    drawn = in_browser(page.read_text(encoding="utf-8").replace("<style>", WITNESS + "<style>", 1), tmp_path)
    assert 'data-fetched=""' in drawn[:2000]
    # Two lines of throughput and the ceiling; p50 and p99 of two contenders.
    assert [len(re.findall(r'class="trace scatter', part)) for part in drawn.split('id="plot-')[1:]] == [3, 4]
    points = re.findall(r'<path class="point"[^>]* d="M', drawn)
    assert len(points) == (3 + 2) + 4 * len(LOADS)
    assert len(re.findall(r'class="yerror', drawn)) == 3 + 2
    # Nor does it offer to send anything anywhere.
    buttons = set(re.findall(r'data-title="([^"]*)"', drawn))
    assert "Zoom" in buttons
    assert not [title for title in buttons if re.search("share|cloud|edit", title, re.IGNORECASE)]
    assert "plotly.com" not in drawn
    text = unescape(re.sub(r"<[^>]+>", " ", drawn))
    for axis in (
        "tokens per entity, of all kinds together",
        "entities per second",
        "queries arriving per second",
        "latency in ms, from the scheduled arrival",
    ):
        assert axis in text


def test_the_witness_sees_what_a_page_fetches(page: Path, tmp_path: Path) -> None:
    text = page.read_text(encoding="utf-8").replace("<style>", WITNESS + "<style>", 1)
    tried = in_browser(text.replace("</h1>", '</h1><img src="http://127.0.0.1:9/picture.png">', 1), tmp_path)
    assert 'data-fetched="http://127.0.0.1:9/picture.png' in tried[:2000]


def test_every_number_can_be_read_without_a_mouse(page: Path) -> None:
    text = body(page)
    assert "<td>12.3 MB, exported in 4.5 s where it was made</td>" in text
    assert "reads 50 GB/s (reading); float32 400 GFLOP/s (a product); int8 none (no &lt;int8&gt;)" in text
    for cell in ("20 %", "arithmetic"):
        assert f"<td>{cell}</td>" in text
    for cell in ("16", "62.5 (0.25x)", "250", "1.50", "4.50", "75%", "3,000", "1,024", "yes", "no", "-"):
        assert f"<td>{cell}</td>" in text
    assert "- too few questions to say" in text


def test_conditions_and_what_failed_stand_above_the_numbers(page: Path) -> None:
    text = body(page)
    first = text.index("<h2>")
    assert text.index("a processor &lt;b&gt;, 2 of 2 cores; mygo fp32, d=256") < first
    assert text.index("Other work took about 1.5 of 2 cores") < first
    assert text.index("torch: failed: its process was killed") < first
    assert "<td>failed</td>" in text


def test_what_a_bundle_or_a_process_says_is_text_and_no_script(page: Path) -> None:
    assert "<script>document" not in body(page)
    assert "&lt;script&gt;document.title" in body(page)
