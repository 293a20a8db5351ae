"""A race of rankers on tiny tables. Nothing here depends on how fast anything is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mmkg_sdk import QueryError
from mmkg_sdk.bench.race import Point, race_table, run_race
from mmkg_sdk.bench.rankers import RANKERS, open_ranker, takes_part
from mmkg_sdk.kernels import library
from mmkg_sdk.scores import ComplexDistance, InnerProduct

pytestmark = pytest.mark.skipif(isinstance(library(), str), reason=str(library()))


@pytest.mark.parametrize("score", [InnerProduct(), ComplexDistance(0.0)], ids=["product", "distance"])
@pytest.mark.parametrize("name", [name for name in RANKERS if name != "faiss flat"])
def test_every_ranker_gives_the_best_rows_of_a_float64_calculation(
    name: str, score: InnerProduct | ComplexDistance
) -> None:
    if takes_part(name, score):
        pytest.skip(f"{name}: {takes_part(name, score)}")
    random = np.random.default_rng(0)
    table, queries = (random.standard_normal((n, 24), np.float32) for n in (2000, 5))
    wide, asked = table.astype(np.float64), queries.astype(np.float64)
    if isinstance(score, InnerProduct):
        scores = asked @ wide.T
    else:
        difference = asked[:, None] - wide
        scores = -np.hypot(difference[..., :12], difference[..., 12:]).sum(axis=2)
    found = open_ranker(name, table, score, 7, 1, queries)(queries)
    np.testing.assert_array_equal(found, np.argsort(-scores, axis=1)[:, :7])


def test_a_race_writes_times_agreement_and_what_the_machine_does(tmp_path: Path) -> None:
    rankers = ["compiled kernel", "numpy", "faiss flat"]
    points = [Point("distance", 500, 8, 3, 4), Point("distance", 300, 8, 1, 2)]
    found = run_race(points, tmp_path / "race.json", rankers=rankers, threads=1, seconds=0.01, rounds=2)
    assert json.loads((tmp_path / "race.json").read_text()) == found
    assert found["complete"] is True
    assert found["ceilings"]["read_gb_per_second"] > 0
    assert [(row["point"]["rows"], row["ranker"]) for row in found["rows"]] == [
        (size, name) for size in (500, 300) for name in rankers
    ]
    for row in found["rows"]:
        if row["ranker"] == "faiss flat":
            assert (row["status"], row["note"], row["ms_p50"]) == ("not measured", "inner products only", None)
            continue
        assert row["agreement"] == 1.0
        assert row["samples"] >= 6
        assert 0 < row["ms_min"] <= row["ms_p50"] <= row["ms_max"]
    table = race_table(found)
    assert "distance, 500 x 8, batch 3, k=4" in table
    assert "not measured: inner products only" in table


@pytest.mark.parametrize(
    ("point", "message"),
    [
        (Point("inner-product", 0, 8, 1, 1), "rows is 0"),
        (Point("inner-product", 5, 8, 1, 6), "k is 6, but there are 5 rows"),
        (Point("distance", 5, 7, 1, 1), "needs real and imaginary parts"),
        (Point("inner-product", 5, 8, 1 << 20, 1), "batch is 1048576"),
    ],
)
def test_what_cannot_be_raced_is_refused_before_anything_runs(point: Point, message: str, tmp_path: Path) -> None:
    with pytest.raises(QueryError, match=message):
        run_race([point], tmp_path / "race.json")
    with pytest.raises(QueryError, match="unknown ranker 'fastest'"):
        run_race([Point("distance", 5, 8, 1, 1)], tmp_path / "race.json", rankers=["fastest"])
    with pytest.raises(QueryError, match=r"is a folder; expected a file to write, such as .*race\.json"):
        run_race([Point("distance", 5, 8, 1, 1)], tmp_path)
    assert not any(tmp_path.iterdir())
