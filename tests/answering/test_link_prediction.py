"""Model: questions in labels and ids, in any number; candidates; new entities; and every way to ask wrongly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import mmkg_sdk
import mmkg_sdk.answering.link_prediction
from mmkg_sdk import Model, QueryError
from mmkg_sdk.backends.tables import rank_table
from mmkg_sdk.ranking.exact import RankingProtocol
from mmkg_sdk.ranking.known_triples import AnswerLists, Queries
from tests.backends.on_cpu import ON_CPU
from tests.families.mygo.cases import golden_case


@pytest.fixture(scope="module", params=ON_CPU)
def model(request: pytest.FixtureRequest, golden_bundle: Path) -> Iterator[Model]:
    with mmkg_sdk.load(golden_bundle, request.param, "cpu", threads=1) as opened:
        yield opened


@pytest.fixture(scope="module")
def fast(golden_bundle: Path) -> Iterator[Model]:
    """For tests of what happens before and after a backend."""
    with mmkg_sdk.load(golden_bundle, "onnxruntime", "cpu", threads=1) as opened:
        yield opened


@pytest.fixture
def own(golden_bundle: Path) -> Iterator[Model]:
    """A model that a test may add entities to."""
    with mmkg_sdk.load(golden_bundle, "onnxruntime", "cpu", threads=1) as opened:
        yield opened


def expected_tails(
    model: Model, head: int, relation: int, k: int, candidates: list[int] | None = None, known: bool = True
) -> list[int]:
    """A plain sort of all scores with ties by id, known answers left out."""
    scores = model.score_tails(head, relation)[0]
    triples = np.concatenate(list(model.bundle.triples.values())).tolist()
    hidden = {t for h, r, t in triples if (h, r) == (head, relation)} if known else set()
    free = [i for i in (range(len(scores)) if candidates is None else sorted(set(candidates))) if i not in hidden]
    return sorted(free, key=lambda i: (-scores[i], i))[:k]


def test_the_answers_are_a_sort_of_the_scores(model: Model) -> None:
    heads, relations = np.arange(40), np.arange(40) % 7
    for known in (True, False):
        found = model.predict_tails(heads, relations, k=7, filter_known=known)
        for i, ranking in enumerate(found):
            assert ranking.ids.tolist() == expected_tails(model, i, i % 7, 7, known=known)


def test_heads_are_asked_for_like_tails(model: Model) -> None:
    found = model.predict_heads("relation 1", "entity 5", k=3, filter_known=False)
    scores = model.score_heads(1, 5)[0]
    assert found[0].query == "(?, relation 1, entity 5)"
    assert found[0].ids.tolist() == np.argsort(-scores, kind="stable")[:3].tolist()
    np.testing.assert_allclose(found[0].scores, np.sort(scores)[::-1][:3], rtol=1e-6)


def test_labels_and_ids_ask_the_same(fast: Model) -> None:
    by_label = fast.predict_tails(["entity 3", "entity 4"], "relation 2", k=4)
    by_id = fast.predict_tails(np.array([3, 4]), 2, k=4)
    by_tensor = fast.predict_tails(torch.tensor([3, 4]), torch.tensor([2, 2]), k=4)
    assert by_label.to_json() == by_id.to_json() == by_tensor.to_json()
    assert [ranking.query for ranking in by_label] == ["(entity 3, relation 2, ?)", "(entity 4, relation 2, ?)"]


def test_no_queries_give_no_answers(model: Model) -> None:
    for empty in ([], np.empty(0, np.int64)):
        assert len(model.predict_tails(empty, empty)) == 0
        assert len(model.predict_heads(0, empty)) == 0
        assert model.score_tails(empty, empty).shape == (0, 40)
        assert model.score_triples(empty, empty, empty).shape == (0,)
        assert model.entity_vectors(empty).shape == (0, 32)
    assert model.encode_entities(visual_tokens=[], text_tokens=[]).shape == (0, 32)
    assert model.encode_entities(
        visual_tokens=np.empty((0, 5), np.int64), text_tokens=np.empty((0, 3), np.int64)
    ).shape == (0, 32)


def test_queries_are_answered_in_chunks_of_any_size(fast: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    heads, relations = np.arange(40), np.arange(40) % 7
    whole = fast.predict_tails(heads, relations, k=3)
    for chunk in (1, 7, 39, 40, 41):
        monkeypatch.setattr(mmkg_sdk.answering.link_prediction, "QUERY_CHUNK", chunk)
        for one, other in zip(whole, fast.predict_tails(heads, relations, k=3), strict=True):
            assert one.ids.tolist() == other.ids.tolist()
            np.testing.assert_allclose(one.scores, other.scores, rtol=1e-5, atol=1e-5)


def test_k_is_cut_to_the_candidates_and_the_result_says_so(fast: Model) -> None:
    found = fast.predict_tails(0, 0, k=3000, filter_known=False)
    assert (found.k, len(found[0])) == (40, 40)
    assert sorted(found[0].ids.tolist()) == list(range(40))
    found = fast.predict_tails(0, 0, k=3, candidates=[5, 6], filter_known=False)
    assert (found.k, len(found[0])) == (2, 2)


@pytest.mark.parametrize("k", [0, -1, 3841, 2**70, 1.0, "3", None, True, np.float32(2), [1]])
def test_a_k_that_is_none_is_refused(fast: Model, k: Any) -> None:
    with pytest.raises(QueryError, match="expected a whole number from 1 to 3,840"):
        fast.predict_tails(0, 0, k=k)


def test_a_k_of_numpy_is_taken(fast: Model) -> None:
    assert fast.predict_tails(0, 0, k=np.int64(2)).k == 2  # type: ignore[arg-type]


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 39),
    st.integers(0, 6),
    st.integers(1, 45),
    st.lists(st.integers(0, 39), max_size=50),
    st.sampled_from([True, False, None]),
)
def test_candidates_may_be_unsorted_repeated_few_or_none(
    fast: Model, head: int, relation: int, k: int, candidates: list[int], known: bool | None
) -> None:
    (found,) = fast.predict_tails(head, relation, k, filter_known=known, candidates=candidates)
    # None: candidates that are named are what the caller wants ranked.
    assert found.ids.tolist() == expected_tails(fast, head, relation, k, candidates, bool(known))
    assert len(found.labels) == len(found.ids) == len(found.scores)


def test_the_known_answers_that_were_left_out_are_said(fast: Model) -> None:
    triples = np.concatenate(list(fast.bundle.triples.values()))
    heads, relations = triples[:, 0], triples[:, 1]
    for i, ranking in enumerate(fast.predict_tails(heads, relations, k=2)):
        tails = np.unique(triples[(heads == heads[i]) & (relations == relations[i])][:, 2])
        assert ranking.known == tuple(fast.entities[tail] for tail in tails.tolist())
        assert not set(ranking.known) & set(ranking.labels)
    for everything in (
        fast.predict_tails(heads, relations, filter_known=False),
        fast.predict_tails(heads, relations, candidates=list(range(40))),
    ):
        assert all(ranking.known == () for ranking in everything)


def test_when_every_candidate_is_known_the_answer_says_so(fast: Model) -> None:
    head, relation, tail = fast.bundle.triples["train"][0].tolist()
    other = next(
        i for i in range(40) if [head, relation, i] not in np.concatenate([*fast.bundle.triples.values()]).tolist()
    )
    found = fast.predict_tails([head, head], [relation, relation], candidates=[tail], filter_known=True)
    assert [len(ranking) for ranking in found] == [0, 0]
    assert repr(found[0]).splitlines()[1:] == [
        "  (no candidate left)",
        f"  (1 known answer left out: {fast.entities[tail]})",
    ]
    (some,) = fast.predict_tails(head, relation, candidates=[other, tail], filter_known=True)
    assert (some.labels, some.known) == ((fast.entities[other],), (fast.entities[tail],))
    assert len(fast.predict_tails(head, relation, candidates=[tail])[0]) == 1


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda m: m.predict_tails("entity 99", 0), r"unknown entity 'entity 99' .* near: 'entity 9'"),
        (lambda m: m.predict_tails(0, "relaton 1"), r"unknown relation 'relaton 1' .* near: 'relation 1'"),
        (lambda m: m.predict_tails([0, 40], 0), r"entity id 40 \(number 1 of 2\) is out of range; ids are 0 to 39"),
        (lambda m: m.predict_tails(0, 7), "relation id 7"),
        (lambda m: m.predict_heads(-1, 0), "relation id -1"),
        (lambda m: m.predict_tails([0, 1], [0, 1, 2]), "2 heads and 3 relations; expected equally many"),
        (lambda m: m.predict_heads([0, 1], [0, 1, 2]), "2 relations and 3 tails"),
        (lambda m: m.score_triples([0, 1], [0, 1], [0]), "2 heads and 2 relations and 1 tails"),
        (lambda m: m.predict_tails(0, 0, candidates=[40]), "entity id 40"),
        (lambda m: m.predict_tails(0, 0, candidates="entity x"), "unknown entity 'entity x'"),
        (lambda m: m.predict_tails(0, 0, candidates=1.5), "entity is 1.5"),
        (lambda m: m.entity_vectors([-1]), "entity id -1"),
        (lambda m: m.score_tails(None, 0), "entity is None"),
    ],
)
def test_a_wrong_question_is_an_error_with_its_place(fast: Model, ask: Callable[[Model], Any], message: str) -> None:
    with pytest.raises(QueryError, match=message):
        ask(fast)


def test_triples_are_scored_one_head_and_relation_with_many_tails(fast: Model) -> None:
    scores = fast.score_triples("entity 3", "relation 1", ["entity 7", "entity 8"])
    np.testing.assert_allclose(scores, fast.score_tails(3, 1)[0, [7, 8]], rtol=1e-5)


def test_entity_vectors_are_copies_of_table_rows(fast: Model) -> None:
    vectors = fast.entity_vectors(["entity 3", "entity 5"])
    np.testing.assert_array_equal(vectors, fast.table[[3, 5]])
    vectors[:] = 0
    assert fast.table[3].any()


def golden_tokens() -> dict[str, np.ndarray]:
    inputs = golden_case("db15k_like").inputs
    return {
        "visual_tokens": inputs["visual_token_index"],
        "visual_mask": inputs["visual_mask"],
        "text_tokens": inputs["text_token_index"],
        "text_mask": inputs["text_mask"],
    }


def test_lists_of_tokens_encode_like_padded_arrays_with_masks(model: Model) -> None:
    tokens, structure = golden_tokens(), model.bundle.inputs["structure"]
    lists = {
        kind: [row[~mask].tolist() for row, mask in zip(tokens[f"{kind}_tokens"], tokens[f"{kind}_mask"], strict=True)]
        for kind in ("visual", "text")
    }
    found = model.encode_entities(visual_tokens=lists["visual"], text_tokens=lists["text"], structure=structure)
    np.testing.assert_allclose(found, golden_case("db15k_like").outputs["ent_emb"][:-1], rtol=1e-5, atol=1e-5)


def test_a_missing_modality_is_an_empty_list_or_a_full_mask(model: Model) -> None:
    text = np.array([[5, 6, 7]])
    padding = np.full((1, 8), 3)
    by_list = model.encode_entities(visual_tokens=[[]], text_tokens=text)
    by_mask = model.encode_entities(visual_tokens=padding, text_tokens=text, visual_mask=np.ones((1, 8), bool))
    no_slots = model.encode_entities(visual_tokens=np.empty((1, 0), np.int64), text_tokens=text)
    np.testing.assert_allclose(by_list, by_mask, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(by_list, no_slots, rtol=1e-5, atol=1e-6)
    assert np.isfinite(model.encode_entities(visual_tokens=[[]], text_tokens=[[]])).all()


def test_the_other_entities_of_a_batch_and_the_padding_do_not_matter(model: Model) -> None:
    visual, text = [[1, 2], [3], [], list(range(60))], [[4], list(range(80)), [9, 9], []]
    together = model.encode_entities(visual_tokens=visual, text_tokens=text)
    for i in range(4):
        alone = model.encode_entities(visual_tokens=visual[i : i + 1], text_tokens=text[i : i + 1])
        np.testing.assert_allclose(alone[0], together[i], rtol=1e-4, atol=1e-5)


def test_arrays_of_any_layout_are_taken_by_value(model: Model) -> None:
    tokens, structure = golden_tokens(), model.bundle.inputs["structure"]
    expected = model.encode_entities(**tokens, structure=structure)  # type: ignore[arg-type]
    forms: list[Callable[[np.ndarray], Any]] = [
        np.asfortranarray,
        lambda array: np.repeat(array, 2, axis=0)[::2],
        lambda array: array.astype(array.dtype.newbyteorder(">")),
        torch.tensor,
    ]
    for form in forms:
        given = {name: form(array) for name, array in tokens.items()}
        found = model.encode_entities(**given, structure=form(structure.astype(np.float64)))
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
    as_tensors = model.encode_entities(
        visual_tokens=torch.tensor(tokens["visual_tokens"]),  # type: ignore[arg-type]
        text_tokens=torch.tensor(tokens["text_tokens"]),  # type: ignore[arg-type]
        visual_mask=tokens["visual_mask"],
        text_mask=tokens["text_mask"],
        structure=torch.tensor(structure, requires_grad=True),  # type: ignore[arg-type]
    )
    np.testing.assert_allclose(as_tensors, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"visual_tokens": np.array([[66]])}, r"visual token 66 \(entity 0, slot 0\) is not in the codebook of 66"),
        ({"text_tokens": np.array([[1, -1]])}, r"text token -1 \(entity 0, slot 1\)"),
        ({"text_tokens": np.array([[2**63]], dtype=np.uint64)}, "text token 9223372036854775808"),
        ({"visual_tokens": [[2**63]]}, "visual token|list of integer token ids"),
        ({"visual_tokens": [[2**70]]}, "visual tokens of entity 0 are .* list of integer"),
        ({"visual_tokens": [[1.5]]}, "visual tokens of entity 0 are"),
        ({"visual_tokens": [[True]]}, "visual tokens of entity 0 are"),
        ({"visual_tokens": [["a"]]}, "visual tokens of entity 0 are"),
        ({"visual_tokens": ["ab"]}, "visual tokens of entity 0 are"),
        ({"visual_tokens": [[[1], [2, 3]]]}, "visual tokens are"),
        ({"visual_tokens": [None]}, "visual tokens are"),
        ({"visual_tokens": 5}, "visual tokens are 5; expected one list of token ids per entity"),
        ({"visual_tokens": [1, 2]}, "visual tokens are"),
        ({"visual_tokens": np.array([1, 2])}, r"visual tokens are int64 \[2\]; expected int64 \[entities, tokens\]"),
        ({"visual_tokens": np.array([[1.0]])}, "visual tokens are float64"),
        ({"visual_tokens": [[1], [2]]}, "visual tokens of 2 entities and text tokens of 1; expected equally many"),
        ({"text_tokens": [[1] * 1025]}, "1,025 text tokens; an entity has at most 1,024. Leave some out"),
        ({"visual_tokens": np.zeros((1, 100_000), np.int64)}, "100,000 visual tokens; an entity has at most 1,024"),
        ({"visual_mask": np.zeros((1, 1), bool)}, "visual_mask goes with an array of visual tokens"),
        ({"text_tokens": np.array([[1, 2]]), "text_mask": np.zeros((1, 1), bool)}, r"text_mask is bool \[1, 1\]"),
        ({"text_tokens": np.array([[1, 2]]), "text_mask": np.zeros((1, 2))}, r"text_mask is float64 \[1, 2\]"),
        ({"text_tokens": np.array([[1, 2]]), "text_mask": [[True], [True, False]]}, "text_mask is"),
        ({"structure": np.zeros((1, 31))}, r"structure is float64 \[1, 31\]; expected float32 \[1, 32\]"),
        ({"structure": np.zeros((2, 32))}, r"structure is float64 \[2, 32\]"),
        ({"structure": np.full((1, 32), np.nan)}, "structure holds NaN or infinity in row 0"),
        ({"structure": np.full((1, 32), -np.inf, np.float32)}, "structure holds NaN or infinity"),
        ({"structure": np.full((1, 32), 1e300)}, "structure holds NaN or infinity"),  # beyond float32
        ({"structure": np.full((1, 32), 1j)}, "structure is complex128"),
        ({"structure": np.full((1, 32), "x")}, "structure is <U1"),
        ({"structure": [[1], [1, 2]]}, "structure is list, which is no array"),
        ({"structure": "x"}, "structure is <U1"),
        ({"structure": torch.zeros(1, 32, dtype=torch.bfloat16)}, "bfloat16"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_inputs_of_the_encoder_are_checked_at_the_door(fast: Model, change: dict[str, Any], message: str) -> None:
    given = {"visual_tokens": [[1]], "text_tokens": [[1]]}
    with pytest.raises(QueryError, match=message):
        fast.encode_entities(**(given | change))


def test_the_largest_number_of_tokens_works(fast: Model) -> None:
    assert fast.encode_entities(visual_tokens=[[1] * 1024], text_tokens=[[1] * 1024]).shape == (1, 32)


def test_an_added_entity_is_a_candidate_and_can_be_asked_about(own: Model) -> None:
    before = own.score_tails(0, 0)
    ids = own.add_entities(["new one", "new two"], visual_tokens=[[1, 2], []], text_tokens=[[3], [4, 5]])
    assert ids.tolist() == [40, 41]
    assert len(own.entities) == len(own.table) == 42
    assert own.bundle.table.shape == (40, 32)
    np.testing.assert_allclose(own.score_tails(0, 0)[:, :40], before, rtol=1e-5, atol=1e-5)
    found = own.predict_tails("new two", 0, k=42, filter_known=False)
    assert {"new one", "new two"} <= set(found[0].labels)
    np.testing.assert_allclose(
        own.entity_vectors("new one"), own.encode_entities(visual_tokens=[[1, 2]], text_tokens=[[3]]), rtol=1e-6
    )


def test_entities_are_added_without_a_copy_of_the_table_and_answers_are_those_of_one_table(own: Model) -> None:
    assert own.add_entities([], visual_tokens=[], text_tokens=[]).tolist() == []
    random = np.random.default_rng(0)
    snapshots = []
    for number in range(150):  # more than the memory that was taken at first, twice
        tokens = [random.integers(0, 60, 3).tolist()], [random.integers(0, 60, 2).tolist()]
        own.add_entities([f"added {number}"], visual_tokens=tokens[0], text_tokens=tokens[1])
        snapshots.append(own._entities)
    assert own._entities.encoded["vectors"] is own.bundle.table
    assert own.table.shape == (190, 32)
    for number, entities in enumerate(snapshots):
        np.testing.assert_array_equal(entities.table, own.table[: 41 + number])
        assert len(entities.labels) == 41 + number
    heads = np.array([0, 40, 189, 5])  # of the bundle, added, added, of the bundle
    vectors = own.query_vectors(Queries(heads, heads % 7, np.zeros(4, np.int64)))
    whole = rank_table(own.table, own._score, threads=1)
    for candidates in (None, np.arange(3, 190, 2), np.array([7, 8]), np.array([100, 150])):
        expected = whole.top_k(vectors, 30, None, candidates)
        found = own.predict_tails(heads, heads % 7, k=30, filter_known=False, candidates=candidates)
        assert [i for ranking in found for i in ranking.ids.tolist()] == expected.ids.tolist()
        np.testing.assert_array_equal(np.concatenate([ranking.scores for ranking in found]), expected.scores)
    np.testing.assert_array_equal(own.entity_vectors(heads), own.table[heads])
    scores = own.score_tails(heads, heads % 7)
    assert scores.shape == (4, 190)
    tails = [189, 3, 40, 41]
    of_triples = own.score_triples(heads, heads % 7, tails)
    np.testing.assert_allclose(of_triples, scores[np.arange(4), tails], rtol=1e-5)
    for head, tail, score in zip(heads.tolist(), tails, of_triples, strict=True):  # to the bit, in either segment
        (asked,) = own.predict_tails(head, head % 7, k=1, filter_known=False, candidates=[tail])
        assert asked.scores[0] == score
    queries = Queries(heads, heads % 7, np.zeros(4, np.int64))
    none = AnswerLists(np.zeros(5, np.int64), np.empty(0, np.int64))
    ranks = own.rank_answers(queries, np.array([189, 0, 45, 3]), none, RankingProtocol("optimistic")).published
    assert ranks.tolist() == [1 + (row > row[i]).sum() for row, i in zip(scores, (189, 0, 45, 3), strict=True)]
    own.add_entities(["the last"], visual_tokens=[[1]], text_tokens=[[2]])
    own.rank_answers(queries, np.array([190, 0, 45, 3]), none, RankingProtocol("floor"))
    assert "table" not in vars(own._entities), "ranks made a table of all rows"


def test_candidates_are_prepared_once_for_any_number_of_calls(own: Model, fast: Model) -> None:
    prepared = own.candidates(["entity 9", "entity 3", "entity 9", "entity 20"])
    assert (prepared.ids.tolist(), len(prepared)) == ([3, 9, 20], 3)
    assert repr(prepared) == f"Candidates(3 of {str(own.bundle.path)!r})"
    assert own.candidates(prepared) is prepared
    with pytest.raises(ValueError, match="read-only"):
        prepared.ids[0] = 1
    heads = np.arange(40)
    for known in (None, True):
        expected = own.predict_tails(heads, 0, filter_known=known, candidates=[3, 9, 20])
        assert own.predict_tails(heads, 0, filter_known=known, candidates=prepared).to_json() == expected.to_json()
    own.add_entities(["one more"], visual_tokens=[[1]], text_tokens=[[2]])
    found = own.predict_heads(0, "one more", candidates=prepared)
    assert sorted(found[0].ids.tolist()) == [3, 9, 20]
    assert own.candidates(["one more"]).ids.tolist() == [40]
    with pytest.raises(QueryError, match="were prepared by another model"):
        fast.predict_tails(0, 0, candidates=prepared)
    with pytest.raises(QueryError, match="unknown entity 'entity 99'"):
        own.candidates(["entity 3", "entity 99"])
    assert len(own.predict_tails(0, 0, candidates=own.candidates([]))[0]) == 0


def test_an_entity_with_the_tokens_and_structure_of_another_gets_its_answers(own: Model) -> None:
    tokens = {name: array[7:8] for name, array in golden_tokens().items()}
    own.add_entities(["twin"], **tokens, structure=own.bundle.inputs["structure"][7:8])  # type: ignore[arg-type]
    np.testing.assert_allclose(own.score_tails("twin", 2), own.score_tails("entity 7", 2), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["entity 3"], "entity 'entity 3' exists already. Choose another label"),
        (["same", "same"], "'same' stands at 40 and again at 41"),
        ([""], "label 40 is ''"),
        (["two\nlines"], "label 40 is"),
        ([5], r"entity label is 5 \(int\); expected a string"),
        ([None], "entity label is None"),
        ([["a"]], "entity label is"),
        (["a", "b", "c"], "labels and inputs of"),
        ([], "labels and inputs of"),
    ],
)
def test_labels_that_cannot_be_added_change_nothing(own: Model, labels: list[Any], message: str) -> None:
    count = 2 if len(labels) == 2 else 1
    with pytest.raises(QueryError, match=message):
        own.add_entities(labels, visual_tokens=[[1]] * count, text_tokens=[[1]] * count)
    assert len(own.entities) == len(own.table) == 40


def test_entities_may_be_added_while_others_ask(own: Model) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def ask(number: int) -> bool:
        if number % 4 == 0:
            own.add_entities([f"added {number}"], visual_tokens=[[number % 60]], text_tokens=[[1]])
            return own.predict_tails(f"added {number}", 0, k=1, filter_known=False).k == 1
        ranking = own.predict_tails(number % 40, number % 7, k=5, filter_known=False)[0]
        return list(ranking.labels) == [own.entities[i] for i in ranking.ids.tolist()]

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(80)))
    assert len(own.entities) == len(own.table) == 60


def test_a_query_has_words_in_its_repr(fast: Model) -> None:
    assert "mygo fp32: 40 entities, 7 relations, width 32, onnxruntime on cpu" in repr(fast)
    assert "\n" not in repr(fast)
