"""A bundle in shards answers as the whole one does, to the bit: ids, scores, ties, filters, candidates and ranks."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmkg_sdk.data.mentions import Mention
from mmkg_sdk.errors import BackendError, ExportError, QueryError
from mmkg_sdk.evaluation.link_prediction import evaluate_bundle
from mmkg_sdk.kernels import library
from mmkg_sdk.ranking.exact import RankingProtocol
from mmkg_sdk.ranking.known_triples import Queries
from mmkg_sdk.serving import ShardedLinker, ShardedModel, load_sharded

pytestmark = pytest.mark.skipif(isinstance(library(), str), reason="bits are those of the compiled kernels")

LINKS = ("mygo", "adamf_mat", "mkgformer-links")
Both = Callable[[str, int, bool], tuple[Any, Any]]
counts = st.integers(1, 7)


@pytest.mark.parametrize("name", LINKS)
@settings(deadline=None, max_examples=60)
@given(
    count=counts,
    ties=st.booleans(),
    heads=st.booleans(),
    entities=st.lists(st.integers(0, 8), max_size=5),
    relation=st.integers(0, 1),
    k=st.integers(1, 12),
    known=st.sampled_from([True, False, None]),
    candidates=st.none() | st.lists(st.integers(0, 8), max_size=12),
)
def test_answers_are_those_of_the_whole_bundle(
    opened: Both,
    name: str,
    count: int,
    ties: bool,
    heads: bool,
    entities: list[int],
    relation: int,
    k: int,
    known: bool | None,
    candidates: list[int] | None,
) -> None:
    def ask(model: Any) -> Any:
        options = {"filter_known": known, "candidates": candidates}
        if heads:
            return model.predict_heads(relation, entities, k, **options)
        return model.predict_tails(entities, relation, k, **options)

    whole, parts = (ask(model) for model in opened(name, count, ties))
    assert parts.to_json() == whole.to_json()  # floats as they are: to the bit
    assert parts.k == whole.k


@pytest.mark.parametrize("name", LINKS)
@settings(deadline=None, max_examples=60)
@given(
    count=counts,
    ties=st.booleans(),
    targets=st.lists(st.integers(0, 8), min_size=1, max_size=9),
    rule=st.sampled_from(["floor", "optimistic", "stable"]),
    penalty=st.sampled_from([np.inf, 0.0, 10_000.0]),
    direction=st.integers(0, 1),
)
def test_ranks_are_those_of_the_whole_bundle(
    opened: Both, name: str, count: int, ties: bool, targets: list[int], rule: Any, penalty: float, direction: int
) -> None:
    whole, parts = opened(name, count, ties)
    right = np.array(targets)
    queries = Queries(np.arange(len(right)), right % 2, np.full(len(right), direction))
    known, protocol = whole.bundle.known_triples.answers_of(queries), RankingProtocol(rule, penalty)
    expected, found = (model.rank_answers(queries, right, known, protocol) for model in (whole, parts))
    np.testing.assert_array_equal(found.published, expected.published)
    np.testing.assert_array_equal(found.realistic, expected.realistic)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("count", [1, 4, 7])
@pytest.mark.parametrize("name", LINKS)
def test_an_evaluation_and_pairs_are_those_of_the_whole_bundle(opened: Both, name: str, count: int, ties: bool) -> None:
    whole, parts = opened(name, count, ties)
    expected, found = (evaluate_bundle(model, "train", None).ranks for model in (whole, parts))
    for rule in ("published", "realistic"):
        np.testing.assert_array_equal(found[rule], expected[rule])
    ids = np.array([8, 0, 3, 3, 5])
    np.testing.assert_array_equal(parts.entity_vectors(ids), whole.entity_vectors(ids))
    np.testing.assert_array_equal(parts.table, whole.table)
    np.testing.assert_array_equal(parts.score_triples(ids, 0, ids[::-1]), whole.score_triples(ids, 0, ids[::-1]))
    # All scores at a time are a matrix product, which rounds by its size.
    np.testing.assert_allclose(parts.score_heads(1, ids), whole.score_heads(1, ids), rtol=1e-5, atol=1e-5)
    assert parts.score_tails([], []).shape == (0, 9)


def test_modality_weights_come_from_the_shards(opened: Both) -> None:
    whole, parts = opened("adamf_mat", 5, False)
    for entity in range(9):
        assert parts.explain_entity(entity).to_json() == whole.explain_entity(entity).to_json()


def test_what_needs_the_tokens_of_an_entity_is_declined(opened: Both) -> None:
    with pytest.raises(QueryError, match="is sharded and has no tokens of entities"):
        opened("mygo", 4, False)[1].explain_entity(0)
    with pytest.raises(QueryError, match="is sharded and explains no links"):
        opened("mimic", 4, False)[1].explain_link(MENTIONS[0], 0)


MENTIONS = [Mention("Jordan", "Jordan is a river."), Mention("Georgia", "The wine of Georgia."), Mention("x", "")]


@settings(deadline=None, max_examples=40)
@given(
    count=counts,
    ties=st.booleans(),
    asked=st.integers(1, 3),
    k=st.integers(1, 9),
    candidates=st.none() | st.lists(st.integers(0, 6), max_size=9),
    explain=st.booleans(),
)
def test_links_are_those_of_the_whole_bundle(
    opened: Both, count: int, ties: bool, asked: int, k: int, candidates: list[int] | None, explain: bool
) -> None:
    whole, parts = (
        linker.link_mentions(MENTIONS[:asked], k, candidates=candidates, explain=explain)
        for linker in opened("mimic", count, ties)
    )
    assert parts.to_json() == whole.to_json()
    assert parts.k == whole.k


@settings(deadline=None, max_examples=40)
@given(count=counts, ties=st.booleans(), targets=st.lists(st.integers(0, 6), min_size=3, max_size=3))
def test_ranks_of_links_are_those_of_the_whole_bundle(opened: Both, count: int, ties: bool, targets: list[int]) -> None:
    whole, parts = opened("mimic", count, ties)
    expected, found = (linker.rank_mentions(MENTIONS, np.array(targets)) for linker in (whole, parts))
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(parts.score_mentions(MENTIONS), whole.score_mentions(MENTIONS))


def test_many_mentions_are_linked_in_several_steps(opened: Both) -> None:
    whole, parts = opened("mimic", 3, False)
    many = [Mention("Jordan", f"Jordan {number}.") for number in range(70)]
    assert parts.link_mentions(many, 2).to_json() == whole.link_mentions(many, 2).to_json()
    np.testing.assert_array_equal(
        parts.rank_mentions(many, np.arange(70) % 7), whole.rank_mentions(many, np.arange(70) % 7)
    )


@pytest.mark.parametrize("name", ["mygo", "mimic"])
def test_a_graph_in_place_of_kernels_ranks_the_same(name: str, bundles: Any, sharded: Any) -> None:
    import mmkg_sdk

    with (
        mmkg_sdk.load(bundles(name, False), "onnxruntime", "cpu", threads=1) as whole,
        load_sharded(sharded(name, 2, False), "onnxruntime", "cpu", threads=1) as parts,
    ):
        if isinstance(whole, mmkg_sdk.Linker):
            assert isinstance(parts, ShardedLinker)
            links = [linker.link_mentions(MENTIONS, 7) for linker in (whole, parts)]
            assert [one.ids.tolist() for one in links[0]] == [one.ids.tolist() for one in links[1]]
            ranks = [linker.rank_mentions(MENTIONS, np.array([1, 5, 3])).tolist() for linker in (whole, parts)]
            assert ranks[0] == ranks[1]
        else:
            assert isinstance(whole, mmkg_sdk.Model)
            assert isinstance(parts, ShardedModel)
            found = [model.predict_tails(range(9), 0, 9).to_json() for model in (whole, parts)]
            assert found[0] == found[1]


# ---- what is opened ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "kind"), [("mygo", ShardedModel), ("mimic", ShardedLinker)])
def test_it_is_pickled_by_its_folder(name: str, kind: Any, sharded: Any) -> None:
    with load_sharded(sharded(name, 2, False), threads=1) as parts, pickle.loads(pickle.dumps(parts)) as again:
        assert isinstance(again, kind)
        assert repr(again) == repr(parts)
        assert "2 shards" in repr(parts)


@pytest.mark.parametrize("name", ["mygo", "mimic"])
def test_what_is_closed_says_so(name: str, sharded: Any) -> None:
    parts = load_sharded(sharded(name, 2, False), threads=1)
    parts.close()
    with pytest.raises(BackendError, match="closed"):
        _ = parts.link_mentions(MENTIONS) if isinstance(parts, ShardedLinker) else parts.predict_tails(0, 0)


def test_new_entities_are_refused(opened: Both, tmp_path: Path) -> None:
    _, parts = opened("mygo", 2, False)
    for ask in (
        lambda: parts.encode_entities(visual_tokens=[[0]], text_tokens=[[0]]),
        lambda: parts.add_entities(["new"], visual_tokens=[[0]], text_tokens=[[0]]),
    ):
        with pytest.raises(QueryError, match="is sharded and has no encoder of entities"):
            ask()
    with pytest.raises(ExportError, match="is sharded"):
        parts.save(tmp_path / "saved")
    _, linker = opened("mimic", 2, False)
    for change in (lambda: linker.add_entities(["new"]), lambda: linker.remove_entities([0])):
        with pytest.raises(QueryError, match="is sharded, and its entities stay"):
            change()
    with pytest.raises(ExportError, match="is sharded"):
        linker.save(tmp_path / "saved")
