"""Many entities at once: as if they came one by one, in the memory of their rows, and all of them or none."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mmkg_sdk.answering.entity_table
import mmkg_sdk.answering.growing
from mmkg_sdk import BackendError, Model, QueryError
from mmkg_sdk.backends.segments import SegmentedRanking
from mmkg_sdk.families.mygo.runtime import _padded, _padded_integers
from mmkg_sdk.kernels import Scan, library

kernels = pytest.mark.skipif(isinstance(library(), str), reason="no compiled kernels")


@pytest.fixture
def model(golden_bundle: Path) -> Iterator[Model]:
    with Model.load(golden_bundle, device="cpu", threads=2) as opened:
        yield opened


def tokens(count: int) -> dict[str, list[list[int]]]:
    random = np.random.default_rng(0)
    return {
        kind: [random.integers(20, size=random.integers(0, 4)).tolist() for _ in range(count)]
        for kind in ("visual", "text")
    }


@kernels
def test_many_at_once_are_those_that_come_one_by_one(
    model: Model, golden_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mmkg_sdk.answering.growing, "ENCODED_ROWS", 7)
    count, given = 50, tokens(50)
    ids = model.add_entities([f"new {i}" for i in range(count)], tokens=given)
    assert ids.tolist() == list(range(40, 90))
    with Model.load(golden_bundle, device="cpu", threads=1) as other:
        for i in range(count):
            other.add_entities([f"new {i}"], tokens={kind: [lists[i]] for kind, lists in given.items()})
        assert other.table.tobytes() == model.table.tobytes()
        assert model.encode_entities(tokens=given).tobytes() == model.table[40:].tobytes()
        asked = np.arange(90)
        one, two = (m.predict_tails(asked, asked % 7, k=30).to_json() for m in (model, other))
        assert one == two


@kernels
def test_many_rows_are_packed_and_the_copy_of_the_bundles_table_stays(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mmkg_sdk.answering.entity_table, "_PACKED_ROWS", 5000)
    base = model._entities.ranking
    model.add_entities([f"new {i}" for i in range(6000)], tokens=tokens(6000))
    model.add_entities([f"more {i}" for i in range(100)], tokens=tokens(100))
    ranking = model._entities.ranking
    assert isinstance(ranking, SegmentedRanking)
    assert ranking.segments[0] is base
    scans = [segment.kernels for segment in ranking.segments[1:]]
    assert all(isinstance(scan, Scan) for scan in scans)
    assert scans[-1].storage == "float32"  # type: ignore[union-attr]
    found = model.predict_tails(np.arange(20), 3, k=50, filter_known=False)
    scores = model.score_tails(np.arange(20), 3)
    for ranked, row in zip(found, scores, strict=True):
        np.testing.assert_allclose(ranked.scores, -np.sort(-row)[:50], rtol=1e-5, atol=1e-5)
        assert (np.diff(ranked.scores) <= 0).all()


@kernels
def test_no_second_copy_of_the_rows_is_made(model: Model) -> None:
    """Of 100,000 entities their rows, 12.8 MB; beside them tokens and masks, labels, and a block."""
    count = 100_000
    labels = [f"new {i}" for i in range(count)]
    given = {kind: np.zeros((count, 1), np.int64) for kind in ("visual", "text")}
    model.encode_entities(visual_tokens=[[0]], text_tokens=[[0]])
    model.add_entities(["first"], visual_tokens=[[0]], text_tokens=[[0]])
    tracemalloc.start()
    model.add_entities(labels, tokens=given)
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    rows = 4 * count * model.table.shape[1]
    # Kept are the rows, with room for as many again that the system has not given yet, labels and tokens.
    assert 2 * rows < kept < 5 * rows
    assert peak - kept < rows, f"{peak - kept:,} bytes more for a while, and the rows have {rows:,}"


def test_where_one_cannot_be_encoded_none_is_added(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mmkg_sdk.answering.growing, "ENCODED_ROWS", 4)
    right, calls = model.encode_batch, iter(range(100))

    def failing(batch: Any, graph: str | None = None) -> Any:
        if next(calls) == 1:
            raise BackendError("the second block")
        return right(batch, graph)

    monkeypatch.setattr(mmkg_sdk.answering.growing, "entity_chunk", lambda count, device: 4)
    monkeypatch.setattr(model, "encode_batch", failing)
    with pytest.raises(BackendError, match="the second block"):
        model.add_entities([f"new {i}" for i in range(10)], tokens=tokens(10))
    assert len(model.entities) == 40
    assert "new 0" not in model.entities
    model.add_entities([f"new {i}" for i in range(10)], tokens=tokens(10))
    monkeypatch.undo()
    assert model.entities[-10:] == tuple(f"new {i}" for i in range(10))
    np.testing.assert_allclose(model.table[40:], model.encode_entities(tokens=tokens(10)), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("place", [0, 7, 19])
def test_of_many_labels_one_that_is_taken_is_named(model: Model, place: int) -> None:
    labels = [f"new {i}" for i in range(20)]
    labels[place] = "entity 7"
    with pytest.raises(QueryError, match="'entity 7' exists already"):
        model.add_entities(labels, tokens=tokens(20))
    labels[place] = "new 3" if place != 3 else "new 4"
    with pytest.raises(QueryError, match="stands at"):
        model.add_entities(labels, tokens=tokens(20))
    labels[place] = 3  # type: ignore[call-overload]
    with pytest.raises(QueryError, match="expected a string"):
        model.add_entities(labels, tokens=tokens(20))
    with pytest.raises(QueryError, match="expected equally many"):
        model.add_entities(labels[1:], tokens=tokens(20))
    assert len(model.entities) == 40


@pytest.mark.parametrize("lists", [[], [[]], [[1, 2], [], [3]], ([1], (2, 3)), [[5] * 9, [1]]])
def test_lists_of_integers_are_padded_as_any_others(lists: Any) -> None:
    fast = _padded_integers(lists)
    assert fast is not None
    slow = _padded("visual", [np.array(row, np.int64) for row in lists])
    for one, other in zip(fast, slow, strict=True):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("lists", [[[1.0]], [[True]], [["1"]], [[2**70]], [[[1]]], [1], "ab", [np.array([1])], None])
def test_other_lists_go_the_way_that_names_what_is_wrong(lists: Any) -> None:
    assert _padded_integers(lists) is None
