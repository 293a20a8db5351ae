"""AnswerCall against its parts, one after the other, to the bit; and hostile arguments of the C functions."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from mmkg_sdk import BackendError
from mmkg_sdk.families.adamf_mat.graphs import graph_modules as rotating_modules
from mmkg_sdk.families.mygo.compiled_query import cpu_kernels
from mmkg_sdk.families.mygo.graphs import graph_modules as transforming_modules
from mmkg_sdk.kernels import AnswerCall, QueryKernels, Rotations, Scan, TransformedQueries, instruction_sets
from mmkg_sdk.kernels.library import address, loaded_library
from mmkg_sdk.ranking.exact import TopK
from mmkg_sdk.ranking.known_triples import KnownTriples, Queries
from mmkg_sdk.ranking.scores import ComplexDistance, InnerProduct
from tests.families.adamf_mat.cases import golden
from tests.families.mygo.cases import golden_case

pytestmark = pytest.mark.skipif(not instruction_sets(), reason="the compiled kernels are absent")

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
MYGO, ADAMF = ["db15k_like", "mkgw_like", "inner_score", "deep_more_rel"], ["db15k_like", "mkgy_like", "zero_modal"]


@dataclass(frozen=True)
class Parts:
    """A golden checkpoint as kernels."""

    query: QueryKernels
    scan: Scan
    num_relations: int

    def one_after_the_other(
        self, queries: Queries, k: int, known: KnownTriples | None, candidates: np.ndarray | None
    ) -> TopK:
        vectors = self.query.vectors(self.scan.table, queries)
        return self.scan.top_k(vectors, k, known and known.answers_of(queries), candidates)


def stored(weights: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """As a bundle gives them: bfloat16 as its bits."""
    return {
        name: (weight.view(torch.int16).numpy().view(np.uint16) if weight.dtype == torch.bfloat16 else weight.numpy())
        for name, weight in weights.items()
    }


@cache
@torch.inference_mode()
def checkpoint(family: str, case: str, precision: str) -> tuple[Any, dict[str, np.ndarray], np.ndarray]:
    """Configuration, weights of the query graph, table."""
    if family == "adamf_mat":
        model: Any = golden(case).model()
        modules, table = rotating_modules(model, DTYPES[precision]), model.entity_table()
    else:
        model = golden_case(case).model().eval()
        modules, table = transforming_modules(model, DTYPES[precision]), model.entity_table()[:-1]
    return model.config, stored(modules["query_encoder"].state_dict()), table.numpy()


def parts_of(family: str, case: str, precision: str = "fp32", threads: int = 2) -> Parts:
    config, weights, table = checkpoint(family, case, precision)
    query: QueryKernels
    if family == "adamf_mat":
        query = Rotations(weights["rotations"])
    else:
        query = cpu_kernels(dict(weights), config.num_heads, threads)
    return Parts(query, Scan(table, config.candidate_score, threads), config.num_relations)


def questions(parts: Parts, size: int, seed: int = 0) -> tuple[Queries, KnownTriples]:
    """Random ones, and random triples, which know an answer or several of about half of them."""
    rng = np.random.default_rng(seed)
    entities, relations = len(parts.scan.table), parts.num_relations
    triples = rng.integers([entities, relations, entities], size=(entities * relations, 3))
    ids = (rng.integers(limit, size=size) for limit in (entities, relations, 2))
    return Queries(*ids), KnownTriples(triples)


def assert_same(found: TopK, expected: TopK) -> None:
    np.testing.assert_array_equal(found.offsets, expected.offsets)
    np.testing.assert_array_equal(found.ids, expected.ids)
    np.testing.assert_array_equal(found.scores.view(np.int32), expected.scores.view(np.int32))


@pytest.mark.parametrize("precision", DTYPES)
@pytest.mark.parametrize(("family", "case"), [*(("mygo", c) for c in MYGO), *(("adamf_mat", c) for c in ADAMF)])
def test_it_gives_what_its_parts_give_on_every_instruction_set(
    family: str, case: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in instruction_sets():
        monkeypatch.setenv("MMKG_INSTRUCTION_SET", name)
        parts = parts_of(family, case, precision, threads=2 if precision == "fp32" else 1)
        call = AnswerCall(parts.query, parts.scan)
        queries, known = questions(parts, 300)  # more than go together
        rows = np.arange(0, len(parts.scan.table), 2)
        for chosen in (None, rows):
            for index in (None, known):
                for size in (1, 300):
                    asked = queries[:size]
                    expected = parts.one_after_the_other(asked, 10, index, chosen)
                    assert_same(call.top_k(asked, 10, index, chosen), expected)


@pytest.mark.parametrize("family", ["mygo", "adamf_mat"])
def test_it_gives_what_its_parts_give_for_every_k(family: str) -> None:
    parts = parts_of(family, "db15k_like")
    call, (queries, known) = AnswerCall(parts.query, parts.scan), questions(parts, 9)
    for k in (*range(1, len(parts.scan.table) + 1), len(parts.scan.table) + 5):
        assert_same(call.top_k(queries, k, known), parts.one_after_the_other(queries, k, known, None))


def test_known_answers_are_left_out_and_nothing_else() -> None:
    parts = parts_of("mygo", "db15k_like")
    call, (queries, known) = AnswerCall(parts.query, parts.scan), questions(parts, 40)
    count = len(parts.scan.table)
    found, lists = call.top_k(queries, count, known), known.answers_of(queries)
    assert any(len(lists.of(i)) for i in range(40))
    for i in range(40):
        answers = found.ids[found.offsets[i] : found.offsets[i + 1]]
        assert sorted([*answers, *lists.of(i)]) == list(range(count))


def test_an_index_of_nothing_and_one_of_everything() -> None:
    parts = parts_of("mygo", "db15k_like")
    call, (queries, _) = AnswerCall(parts.query, parts.scan), questions(parts, 5)
    count = len(parts.scan.table)
    nothing = KnownTriples(np.empty((0, 3), np.int64))
    assert_same(call.top_k(queries, 4, nothing), call.top_k(queries, 4))
    every = np.array([(h, r, t) for h in range(count) for r in range(parts.num_relations) for t in range(count)])
    found = call.top_k(queries, 4, KnownTriples(every))
    assert found.offsets.tolist() == [0] * 6
    assert len(found.ids) == len(found.scores) == 0


def test_no_queries_and_no_candidates_give_no_answers() -> None:
    parts = parts_of("adamf_mat", "db15k_like")
    call, (queries, known) = AnswerCall(parts.query, parts.scan), questions(parts, 3)
    assert call.top_k(queries[:0], 4, known).offsets.tolist() == [0]
    assert call.top_k(queries, 4, known, np.empty(0, np.int64)).offsets.tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("family", ["mygo", "adamf_mat"])
def test_calls_from_many_threads_at_once_give_the_answers_of_one(family: str) -> None:
    parts = parts_of(family, "mkgw_like" if family == "mygo" else "mkgy_like", threads=3)
    call, (queries, known) = AnswerCall(parts.query, parts.scan), questions(parts, 280)
    asked = [(queries[:1], known), (queries, None), (queries[3:40], known)]
    expected = [parts.one_after_the_other(some, 7, index, None) for some, index in asked]
    other = KnownTriples(np.zeros((1, 3), np.int64))  # so that the index that is kept goes to and fro

    def ask(i: int) -> TopK:
        if i % 5 == 0:
            call.top_k(queries[:1], 1, other)
        return call.top_k(asked[i % 3][0], 7, asked[i % 3][1])

    with ThreadPoolExecutor(8) as callers:
        for i, found in enumerate(callers.map(ask, range(150))):
            assert_same(found, expected[i % 3])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_forked_child_goes_on_answering() -> None:
    parts = parts_of("mygo", "db15k_like")
    call, (queries, known) = AnswerCall(parts.query, parts.scan), questions(parts, 280)
    expected = call.top_k(queries, 5, known)  # the threads are there before the fork
    fork = multiprocessing.get_context("fork")
    answers = fork.SimpleQueue()
    child = fork.Process(target=lambda: answers.put(call.top_k(queries, 5, known)))
    child.start()
    child.join(30)
    assert child.exitcode == 0
    assert_same(answers.get(), expected)


@pytest.mark.parametrize("place", [0, 299])
@pytest.mark.parametrize("name", ["entity", "relation", "direction"])
def test_an_id_out_of_range_is_named(name: str, place: int) -> None:
    parts = parts_of("mygo", "db15k_like")
    call, (queries, known) = AnswerCall(parts.query, parts.scan), questions(parts, 300)
    last = {"entity": len(parts.scan.table), "relation": parts.num_relations, "direction": 2}[name] - 1
    for wrong in (-1, last + 1, 2**63 - 1, -(2**63)):
        columns = {n: getattr(queries, n).copy() for n in ("entity", "relation", "direction")}
        columns[name][place] = wrong
        with pytest.raises(BackendError, match=rf"question {place}: {name} {wrong} is not from 0 to {last}"):
            call.top_k(Queries(**columns), 4, known)


@pytest.mark.parametrize("family", ["mygo", "adamf_mat"])
def test_a_vector_that_is_not_finite_is_an_error_with_the_words_of_its_part(family: str) -> None:
    parts = parts_of(family, "db15k_like")
    table = parts.scan.table.copy()
    table[3, 0] = np.inf
    score = InnerProduct() if family == "mygo" else ComplexDistance(1.0)
    call = AnswerCall(parts.query, Scan(table, score, 2))
    one = Queries(*(np.array([i]) for i in (3, 0, 0)))
    with pytest.raises(BackendError, match="query_encoder gave NaN or infinity"):
        call.top_k(one, 4)
    table[3, 0] = np.nan  # a row that is not asked about, but scored
    with pytest.raises(BackendError, match="a score is NaN"):
        call.top_k(Queries(*(np.array([i]) for i in (2, 0, 0))), 4)


def test_arrays_and_parts_that_do_not_fit_are_refused() -> None:
    parts, rotating = parts_of("mygo", "db15k_like"), parts_of("adamf_mat", "db15k_like")
    assert isinstance(parts.query, TransformedQueries)
    call, (queries, _) = AnswerCall(parts.query, parts.scan), questions(parts, 3)
    short = Queries(queries.entity, queries.relation[:2], queries.direction)
    with pytest.raises(BackendError, match=r"relation: int64 \[2\]; expected int64 \[3\]"):
        call.top_k(short, 4)
    with pytest.raises(BackendError, match="candidates are not ascending or out of range"):
        call.top_k(queries, 4, None, np.array([3, 2]))
    with pytest.raises(BackendError, match="candidates are not ascending or out of range"):
        call.top_k(queries, 4, None, np.array([2, len(parts.scan.table)]))
    with pytest.raises(BackendError, match="candidates: float64"):
        call.top_k(queries, 4, None, np.array([2.0]))  # type: ignore[arg-type]
    narrow = Scan(np.zeros((5, parts.scan.table.shape[1] - 2), np.float32), InnerProduct(), 2)
    with pytest.raises(BackendError, match="the context has another width than the table"):
        AnswerCall(parts.query, narrow)
    with pytest.raises(BackendError, match="rotations of width"):
        AnswerCall(rotating.query, narrow)
    with pytest.raises(BackendError, match="two pools"):
        AnswerCall(parts.query, Scan(parts.scan.table, InnerProduct(), 5))
    with pytest.raises(BackendError, match="the table of the scan is empty"):
        AnswerCall(parts.query, Scan(parts.scan.table[:0], InnerProduct(), 2))


def damaged(known: KnownTriples, **arrays: Any) -> KnownTriples:
    return KnownTriples.of_arrays(known.arrays() | {name: np.asarray(a, np.int64) for name, a in arrays.items()})


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"offsets": [0, 2**62]}, "offsets do not ascend"),
        ({"offsets": [-1, 2]}, "offsets do not ascend"),
        ({"offsets": [2, 0]}, "offsets do not ascend"),
        ({"offsets": [0, 2, 2]}, "1 keys and 3 offsets"),
        ({"answers": [4, 4]}, "answers of a key do not ascend"),
        ({"answers": [-1, 4]}, "answers of a key do not ascend"),
        ({"answers": [4, 10**6]}, "or one is no row"),
        ({"answers": []}, "offsets do not ascend"),
    ],
)
def test_a_damaged_index_is_an_error_and_never_a_crash(arrays: dict[str, Any], message: str) -> None:
    parts = parts_of("adamf_mat", "db15k_like")
    call = AnswerCall(parts.query, parts.scan)
    known = damaged(KnownTriples(np.empty((0, 3), np.int64)), keys=[7], offsets=[0, 2], answers=[4, 5])
    for size in (1, 2):
        asked = Queries(np.full(size, 7), np.zeros(size, np.int64), np.zeros(size, np.int64))
        assert not {4, 5} & set(call.top_k(asked, 99, known).ids.tolist())
        with pytest.raises(BackendError, match=message):
            call.top_k(asked, 99, damaged(known, **arrays))


def test_null_pointers_and_sizes_out_of_range_are_refused_by_the_c_functions() -> None:
    library, parts = loaded_library(), parts_of("adamf_mat", "db15k_like")
    handle = ctypes.c_void_p()
    assert library.mmkg_answer_open(None, ctypes.byref(handle)) == 1
    no_parts = (ctypes.c_int64 * 5)()
    assert library.mmkg_answer_open(no_parts, None) == 1
    assert library.mmkg_answer_open(no_parts, ctypes.byref(handle)) == 1
    assert b"scan is NULL" in library.mmkg_last_error()
    no_query = (ctypes.c_int64 * 5)(parts.scan.handle.value)
    assert library.mmkg_answer_open(no_query, ctypes.byref(handle)) == 1
    assert b"a context or rotations" in library.mmkg_last_error()
    library.mmkg_answer_close(None)

    call, id_zero = AnswerCall(parts.query, parts.scan), np.zeros(1, np.int64)
    offsets, ids, scores = np.zeros(2, np.int64), np.zeros(3, np.int64), np.zeros(3, np.float32)
    names = ("answer", "entity", "relation", "direction", "batch", "k", "known", "candidates", "num_candidates")
    pointers = [call._handle.value, *[address(id_zero)] * 3]
    values = (*pointers, 1, 3, None, None, 0, address(offsets), address(ids), address(scores))
    good = dict(zip((*names, "offsets", "ids", "scores"), values, strict=True))
    assert library.mmkg_answer_top_k(*good.values()) == 0
    wrong = [(name, None) for name in ("answer", "entity", "relation", "direction", "offsets", "ids", "scores")]
    wrong += [("batch", -1), ("batch", 2**31), ("k", 0), ("k", 2**20 + 1)]
    for name, value in wrong:
        assert library.mmkg_answer_top_k(*(good | {name: value}).values()) == 1, name
        assert name.encode() in library.mmkg_last_error()
    assert library.mmkg_answer_top_k(*(good | {"candidates": address(id_zero), "num_candidates": -1}).values()) == 1
