"""Races on tiny tables. Nothing here depends on how fast anything is."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from mmkg_sdk import DataError, QueryError
from mmkg_sdk.bench.machine.ceilings import Ceilings
from mmkg_sdk.bench.race.peers import RANKERS
from mmkg_sdk.bench.race.points import Point
from mmkg_sdk.bench.race.results import read_race
from mmkg_sdk.bench.race.run import run_race
from mmkg_sdk.bench.race.shown import colour, draw_race, race_page, race_plots
from mmkg_sdk.bench.race.table import race_table
from mmkg_sdk.bench.race.tucker import TUCKER_WAYS, TuckerPoint, tucker_errors, tucker_inputs, tucker_weights
from mmkg_sdk.bench.report.page import write_page
from mmkg_sdk.cli.group import cli
from mmkg_sdk.errors import BackendError
from mmkg_sdk.kernels import library
from mmkg_sdk.ranking.scores import ComplexDistance, InnerProduct
from tests.bench.report.test_page import WITNESS, in_browser

pytestmark = pytest.mark.skipif(isinstance(library(), str), reason=str(library()))

QUICK: dict[str, Any] = {"threads": 1, "seconds": 0.01, "rounds": 2}
# Of scores near 5: float32, float16, bfloat16, eight bits.
ERRORS = {"float32": 1e-4, "float16": 0.03, "bfloat16": 0.2, "8 bits": 0.3}


def float64_scores(table: Any, queries: Any, score: InnerProduct | ComplexDistance) -> Any:
    wide, asked = table.astype(np.float64), queries.astype(np.float64)
    if isinstance(score, InnerProduct):
        return asked @ wide.T
    difference = asked[:, None] - wide
    return -np.hypot(difference[..., :12], difference[..., 12:]).sum(axis=2)


@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("score", [InnerProduct(), ComplexDistance(0.0)], ids=["product", "distance"])
@pytest.mark.parametrize("name", list(RANKERS))
def test_every_ranker_gives_the_best_rows_of_a_float64_calculation(
    name: str, score: InnerProduct | ComplexDistance, batch: int
) -> None:
    point = Point("inner-product" if isinstance(score, InnerProduct) else "distance", 2000, 24, batch, 7)
    if note := RANKERS[name].absence(point, "cpu"):
        pytest.skip(f"{name}: {note}")
    random = np.random.default_rng(0)
    table, queries = (random.standard_normal((n, 24), np.float32) for n in (2000, batch))
    try:
        found = RANKERS[name].open(table, score, 7, 2, queries, "cpu")(queries)
    except (ImportError, BackendError) as err:
        pytest.skip(f"{name}: {err}")
    scores = float64_scores(table, queries, score)
    expected = np.argsort(-scores, axis=1)[:, :7]
    kind = next((kind for kind in ERRORS if kind in name and RANKERS[name].approximate), "float32")
    np.testing.assert_allclose(found.scores, np.take_along_axis(scores, expected, axis=1), atol=ERRORS[kind])
    assert (found.ids.shape, found.ids.dtype) == ((batch, 7), np.int64)
    if RANKERS[name].approximate:
        assert np.mean([np.isin(a, b).mean() for a, b in zip(found.ids, expected, strict=True)]) > 0.7
    else:
        np.testing.assert_array_equal(found.ids, expected)


def test_a_race_writes_times_rightness_work_and_what_the_machine_does(tmp_path: Path, ceilings: Ceilings) -> None:
    names = ["compiled kernel", "numpy", "faiss flat"]
    points = [Point("distance", 500, 8, 3, 4), Point("distance", 300, 8, 1, 2)]
    found = run_race(points, tmp_path / "race.json", contenders=names, ceilings=ceilings, **QUICK)
    assert json.loads((tmp_path / "race.json").read_text()) == found == read_race(tmp_path / "race.json")
    assert (found["complete"], found["race"]) == (True, "ranking")
    assert Ceilings.from_json(found["ceilings"]) == ceilings
    assert [(row["point"]["rows"], row["contender"]) for row in found["rows"]] == [
        (size, name) for size in (500, 300) for name in names
    ]
    for row in found["rows"]:
        if row["contender"] == "faiss flat":
            assert (row["status"], row["note"], row["ms_p50"]) == ("not measured", "inner products only", None)
            continue
        point = row["point"]
        assert (row["agreement"], row["compared_queries"]) == (1.0, point["batch"])
        assert row["max_score_error"] < 1e-5
        assert row["samples"] >= 6
        assert 0 < row["ms_min"] <= row["ms_p50"] <= row["ms_max"]
        assert row["gflop"] == pytest.approx(4e-9 * point["rows"] * 8 * point["batch"])
        assert row["gb"] == pytest.approx(4e-9 * point["rows"] * 8)
        # The ceiling is rounded to 1e-4 ms and the share to 0.1 %; both may be off by half of that, and by no more.
        rounded = 100 * 0.5e-4 / row["ms_p50"] + 0.5e-1
        share = 100 * row["ceiling_ms"] / row["ms_p50"]
        assert row["percent_of_ceiling"] == pytest.approx(share, rel=1e-9, abs=rounded)
        assert row["bound"] in ("arithmetic", "reading")
    table = race_table(found)
    assert "distance, 500 x 8, batch 3, k=4" in table
    assert "faiss flat: not measured: inner products only" in table


def test_what_would_take_too_long_or_too_much_memory_is_a_row_that_says_so(
    tmp_path: Path, ceilings: Ceilings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limits are set so that everything is beyond one of them."""
    given: dict[str, Any] = {"contenders": ["compiled kernel", "numpy"], "ceilings": ceilings, **QUICK}
    point = Point("inner-product", 500, 8, 40, 4)
    slow = run_race([point], tmp_path / "slow.json", limit_s=1e-9, **given)
    assert [row["status"] for row in slow["rows"]] == ["not measured"] * 2
    assert "would take about 0 s, by the time of its first 32 queries; the limit is 1e-09 s" in slow["rows"][1]["note"]
    monkeypatch.setattr("mmkg_sdk.bench.race.groups.available_bytes", lambda: 1 << 20)
    large = run_race([point], tmp_path / "large.json", **given)
    assert [row["ms_p50"] for row in large["rows"]] == [None] * 2
    assert large["rows"][0]["note"] == "not enough memory: it needs about 1.0 GiB of 0.0 GiB available"
    assert "nothing was measured" in race_table(large)


@pytest.mark.parametrize(
    ("point", "message"),
    [
        (Point("inner-product", 0, 8, 1, 1), "rows is 0"),
        (Point("inner-product", 5, 8, 1, 6), "k is 6, but there are 5 rows"),
        (Point("distance", 5, 7, 1, 1), "needs real and imaginary parts"),
        (Point("inner-product", 5, 8, 1 << 20, 1), "batch is 1048576"),
        (TuckerPoint(0, 1), "width is 0"),
        (TuckerPoint(1025, 1), "raced up to 1,024"),
    ],
)
def test_what_cannot_be_raced_is_refused_before_anything_runs(
    point: Point | TuckerPoint, message: str, tmp_path: Path
) -> None:
    with pytest.raises(QueryError, match=message):
        run_race([point], tmp_path / "race.json")  # type: ignore[list-item]
    with pytest.raises(QueryError, match="unknown contender 'fastest'"):
        run_race([Point("distance", 5, 8, 1, 1)], tmp_path / "race.json", contenders=["fastest"])
    with pytest.raises(QueryError, match=r"is a folder; expected a file to write, such as .*race\.json"):
        run_race([Point("distance", 5, 8, 1, 1)], tmp_path)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("name", list(TUCKER_WAYS))
@pytest.mark.parametrize("batch", [1, 5])
def test_every_way_gives_the_tucker_product_of_a_float64_calculation(name: str, batch: int) -> None:
    point = TuckerPoint(16, batch)
    weights, asked = tucker_weights(point), tucker_inputs(point, 0)
    try:
        product = TUCKER_WAYS[name].open(*weights, 1, "cpu")
    except (ImportError, BackendError) as err:
        pytest.skip(f"{name}: {err}")
    core, weight, shift = (part.astype(np.float64) for part in weights)
    context, relation = asked
    expected = np.einsum("bi,bj,ijo->bo", relation, context, core) + relation @ weight + shift
    found = product(context, relation)
    allowed = 1e-5 if TUCKER_WAYS[name].number_bytes == 4 else 0.02
    np.testing.assert_allclose(found, expected, atol=allowed)
    assert tucker_errors(weights, asked, found)["max_score_error"] < allowed
    assert tucker_errors(weights, asked, found + 1)["max_score_error"] > 0.1


def test_the_command_races_draws_and_prints(tmp_path: Path) -> None:
    out = tmp_path / "tucker.json"
    options = ["--score", "tucker", "--width", "8", "--batches", "1,3", "--contender", "numpy", "--contender", "torch"]
    timing = ["--threads", "1", "--seconds", "0.01", "--rounds", "1", "--out", str(out)]
    done = CliRunner().invoke(cli, ["bench", "race", *options, *timing])
    assert done.exit_code == 0, done.output
    assert "Tucker product, width 8, batch 3" in done.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tucker.html", "tucker.json", "tucker.png"]
    found = read_race(out)
    assert found["race"] == "tucker"
    (plot,) = race_plots(found)
    lines = {line.name: [batch for batch, _ in line.points] for line in plot.lines if line.mark is not None}
    assert lines == {"numpy": [1, 3], "torch": [1, 3]}


def test_a_picture_has_a_panel_for_each_table_and_the_colours_of_its_contenders(tmp_path: Path) -> None:
    from PIL import Image

    found = made_race()
    plots = race_plots(found)
    assert [plot.title for plot in plots] == ["500 x 8, inner-product, k=4", "900 x 8, inner-product, k=4"]
    assert [line.name for line in plots[0].lines] == ["compiled kernel", "torch", "ceiling, float32"]
    assert plots[0].lines[-1].points == [(1, 0.5), (32, 16.0)]
    draw_race(found, tmp_path / "race.png")
    with Image.open(tmp_path / "race.png") as image:
        colours = {f"#{r:02X}{g:02X}{b:02X}" for _, (r, g, b) in image.convert("RGB").getcolors(1 << 20) or []}
    assert {colour("compiled kernel"), colour("torch")} <= colours
    draw_race(found | {"rows": []}, tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()


def test_every_contender_has_a_colour_of_its_own() -> None:
    for table in (RANKERS, TUCKER_WAYS):
        assert len({colour(name) for name in table}) == len(table)
    assert colour("of another version") == "#777777"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format_version": 0}', '{"format_version": 1, "rows": []}'])
def test_what_is_no_race_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "race.json").write_text(text)
    with pytest.raises(DataError, match="is no result of `mmkg-sdk bench race`"):
        read_race(tmp_path / "race.json")
    with pytest.raises(DataError, match="Race again"):
        read_race(tmp_path / "absent.json")


def test_what_a_contender_says_of_itself_has_a_column() -> None:
    found = made_race()
    found["rows"][0]["details"] = {"settled_per_query": 12.5}
    first, second = race_table(found).split("\n\n")[:2]
    assert first.splitlines()[1].endswith("settled per query")
    assert [line.split()[-1] for line in first.splitlines()[2:]] == ["12.5", "-"]
    assert "settled" not in second


def made_race() -> dict[str, Any]:
    """A result with numbers that are easy to find again."""
    rows = []
    for size in (500, 900):
        for batch in (1, 32):
            for name, ms in (("compiled kernel", 1.0), ("torch", 3.0)):
                point = asdict(Point("inner-product", size, 8, batch, 4))
                found = {"ms_p50": ms * batch, "ceiling_ms": batch / 2, "percent_of_ceiling": 50 / ms, "details": {}}
                found |= {"gflop_per_second": 12.0, "gb_per_second": 3.0, "bound": "reading", "status": "measured"}
                found |= {"agreement": 1.0, "max_score_error": 1e-6, "note": None}
                rows.append({"point": point, "contender": name, **found})
    rate = {"per_second": 50.0, "by": "a test"}
    environment = {"cpu": "a processor <b>", "usable_cores": 2, "date": "2026", "memory_mib": 1, "gpus": []}
    environment |= {
        "cpu_flags": [],
        "os": "an os",
        "python": "3",
        "versions": {},
        "git_commit": None,
        "git_dirty": None,
    }
    return {
        "format_version": 1,
        "race": "ranking",
        "complete": True,
        "settings": {"threads": 2, "rounds": 3, "seconds": 1.0, "limit_s": 60.0},
        "ceilings": {"read": rate, "arithmetic": {"float32": rate}},
        "rows": rows,
        "environment": environment | {"other_load": 0.0, "loaded_machine": False},
    }


def test_a_browser_draws_the_page_and_fetches_nothing(tmp_path: Path) -> None:
    write_page(race_page(made_race()), tmp_path / "race.html")
    text = (tmp_path / "race.html").read_text(encoding="utf-8").replace("<style>", WITNESS + "<style>", 1)
    drawn = in_browser(text, tmp_path)
    assert 'data-fetched=""' in drawn[:2000]
    # Two contenders and the ceiling in each of two panels.
    assert [len(re.findall(r'class="trace scatter', part)) for part in drawn.split('id="plot-')[1:]] == [3, 3]


def test_the_page_has_every_panel_and_number(tmp_path: Path) -> None:
    write_page(race_page(made_race()), tmp_path / "race.html")
    text = (tmp_path / "race.html").read_text(encoding="utf-8")
    body = text[text.index("<body>") :]
    assert body.count('id="plot-') == 2
    assert "a processor &lt;b&gt;, 2 of 2 cores" in body
    assert "<td>3.00x</td>" in body
    assert "reads 50 GB/s (a test)" in body


def test_what_cannot_run_on_a_device_says_so() -> None:
    point = Point("inner-product", 5, 8, 1, 1)
    assert RANKERS["numpy"].absence(point, "cpu") is None
    assert RANKERS["numpy"].absence(point, "cuda:1") == "does not run on cuda:1"
    assert TUCKER_WAYS["numpy"].absence(TuckerPoint(8, 1), "cuda") == "does not run on cuda"


@pytest.mark.parametrize(
    ("device", "error", "said"),
    [
        ("cuda:0", QueryError, "this race is one of processors. A GPU is measured by `mmkg-sdk bench gpu`"),
        ("gpu0", BackendError, "unknown device 'gpu0'"),
    ],
)
def test_a_race_that_nobody_can_run_is_refused(device: str, error: type[Exception], said: str, tmp_path: Path) -> None:
    with pytest.raises(error, match=re.escape(said)):
        run_race([Point("inner-product", 5, 8, 1, 1)], tmp_path / "race.json", device=device)
    assert not (tmp_path / "race.json").exists()
