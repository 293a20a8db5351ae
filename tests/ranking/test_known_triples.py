"""KnownTriples against a dictionary of sets."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mmkg_sdk.ranking.known_triples import HEAD, TAIL, AnswerLists, KnownTriples, Queries

# Small ids meet often; the large ones are the largest that fit one number with the relation and the direction.
ENTITIES = st.one_of(st.integers(0, 4), st.sampled_from([2**31, 2**32 - 1]))
RELATIONS = st.one_of(st.integers(0, 2), st.just(2**30 - 1))


def queries_of(rows: list[tuple[int, int, int]]) -> Queries:
    return Queries(*np.array(rows, dtype=np.int64).reshape(-1, 3).T)


@settings(deadline=None, max_examples=300)
@given(
    st.lists(st.tuples(ENTITIES, RELATIONS, ENTITIES), max_size=30),
    st.lists(st.tuples(ENTITIES, RELATIONS, st.sampled_from([TAIL, HEAD])), max_size=10),
)
def test_answers_are_those_of_a_dictionary_of_sets(
    triples: list[tuple[int, int, int]], asked: list[tuple[int, int, int]]
) -> None:
    expected: dict[tuple[int, int, int], set[int]] = {}
    for head, relation, tail in triples:
        expected.setdefault((head, relation, TAIL), set()).add(tail)
        expected.setdefault((tail, relation, HEAD), set()).add(head)
    known = KnownTriples(np.array(triples, dtype=np.int64).reshape(-1, 3))
    found = known.answers_of(queries_of(asked))
    assert len(found.offsets) == len(asked) + 1
    for i, query in enumerate(asked):
        assert found.ids[found.offsets[i] : found.offsets[i + 1]].tolist() == sorted(expected.get(query, set()))
    assert found.rows().tolist() == [i for i, query in enumerate(asked) for _ in expected.get(query, set())]


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(ENTITIES, RELATIONS, ENTITIES), max_size=30))
def test_the_arrays_are_what_a_bundle_stores(triples: list[tuple[int, int, int]]) -> None:
    expected: dict[int, set[int]] = {}
    for head, relation, tail in triples:
        expected.setdefault(((relation * 2 + TAIL) << 32) + head, set()).add(tail)
        expected.setdefault(((relation * 2 + HEAD) << 32) + tail, set()).add(head)
    arrays = KnownTriples(np.array(triples, dtype=np.int64).reshape(-1, 3)).arrays()
    assert arrays["keys"].tolist() == sorted(expected)
    assert arrays["offsets"].tolist() == [0, *np.cumsum([len(expected[key]) for key in sorted(expected)]).tolist()]
    assert arrays["answers"].tolist() == [answer for key in sorted(expected) for answer in sorted(expected[key])]
    assert all(array.dtype == np.int64 and array.flags.c_contiguous for array in arrays.values())


@given(st.lists(st.sets(st.integers(0, 9)), max_size=5), st.sets(st.integers(0, 12)))
def test_answers_among_candidates_are_a_cut_of_sets(answers: list[set[int]], candidates: set[int]) -> None:
    offsets = np.cumsum([0, *map(len, answers)])
    given = AnswerLists(offsets, np.array([i for one in answers for i in sorted(one)], np.int64))
    found = given.among(np.array(sorted(candidates), np.int64))
    expected = [sorted(one & candidates) for one in answers]
    assert [found.part(i, i + 1).ids.tolist() for i in range(len(answers))] == expected


def test_no_triples_and_no_queries_are_fine() -> None:
    none = KnownTriples(np.empty((0, 3), np.int64))
    assert none.answers_of(queries_of([(0, 0, TAIL)])).offsets.tolist() == [0, 0]
    assert none.answers_of(queries_of([])).offsets.tolist() == [0]
    some = KnownTriples(np.array([[0, 0, 1]]))
    assert some.answers_of(queries_of([])).offsets.tolist() == [0]


def test_queries_for_triples_ask_for_the_other_side() -> None:
    triples = np.array([[1, 2, 3], [4, 5, 6]])
    tails, heads = Queries.for_triples(triples, TAIL), Queries.for_triples(triples, HEAD)
    assert (tails.entity.tolist(), tails.direction.tolist()) == ([1, 4], [TAIL, TAIL])
    assert (heads.entity.tolist(), heads.direction.tolist()) == ([3, 6], [HEAD, HEAD])
    assert tails.relation.tolist() == heads.relation.tolist() == [2, 5]
    assert len(tails[1:]) == 1
