"""What the C++ library answers, held to what Python answers with its kernels: the same bits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import mmkg_sdk
from mmkg_sdk import Model
from mmkg_sdk.answering.answers.predictions import Ranking
from mmkg_sdk.families import contract
from mmkg_sdk.ranking.known_triples import HEAD, TAIL, Queries
from tests.cpp.conftest import Ask
from tests.cpp.precisions import in_half
from tests.cpp.random_bundles import random_bundle
from tests.places import ROOT

RELEASED = ROOT / "tests" / "released" / "0.2.0"
# Family and precision, and the golden case if it is exported: one of several layers, whose bundle has an index.
# "saved": with entities that were added, one of a structure of its own.
CASES = [
    *("mygo-fp32", "mygo-fp32-saved", "mygo-fp16", "mygo-bf16", "mygo-fp16-deep_more_rel"),
    *("adamf_mat-fp32", "adamf_mat-fp32-saved", "adamf_mat-bf16"),
]


@pytest.fixture(params=CASES)
def bundle(request: pytest.FixtureRequest, golden_bundles: Callable[..., Path], tmp_path: Path) -> Path:
    family, precision, *case = request.param.split("-")
    if case == ["saved"]:
        return saved(RELEASED / family, tmp_path / "bundle")
    if case:
        return golden_bundles(case[0], precision, family)
    return RELEASED / family if precision == "fp32" else in_half(RELEASED / family, tmp_path / "bundle", precision)


def saved(folder: Path, to: Path) -> Path:
    with opened(folder) as model:
        new = contract.link_runtime(model.bundle.family).new_entities(model.bundle)
        assert new is not None
        given = {name: array for name, array in new.arrays.items() if name != "structure"}
        model.add_entities([f"mean {i}" for i in range(len(new))], **given)
        own = np.full_like(new.arrays["structure"], 2)
        model.add_entities([f"own {i}" for i in range(len(new))], **given, structure=own)
        model.save(to)
    return to


def opened(folder: Path) -> Model:
    model = mmkg_sdk.load(folder, device="cpu", threads=2)
    assert isinstance(model, Model)
    return model


def bits(numbers: NDArray[np.float32]) -> list[str]:
    return [f"{number:08x}" for number in np.asarray(numbers, np.float32).ravel().view(np.uint32).tolist()]


def line(ranking: Ranking, model: Model) -> str:
    """A ranking as the program prints it."""
    found = zip(ranking.ids.tolist(), bits(ranking.scores), ranking.labels, strict=True)
    answers = "".join(f"{number}:{score}:{label}\t" for number, score, label in found)
    return f"{answers}|" + "".join(f"{model.entities.find(label)} " for label in ranking.known)


def queries_of(model: Model, count: int) -> Queries:
    """Some queries in both directions, those of known triples among them."""
    random = np.random.default_rng(0)
    triples = model.bundle.triples["train"]
    entity = random.integers(0, len(model.entities), count)
    relation = random.integers(0, len(model.relations), count)
    direction = np.arange(count) % 2
    entity[: count // 2] = np.where(direction == TAIL, *triples[np.arange(count) % len(triples)].T[[0, 2]])[
        : count // 2
    ]
    relation[: count // 2] = triples[np.arange(count // 2) % len(triples), 1]
    return Queries(entity, relation, direction)


def predictions(
    model: Model, queries: Queries, k: int, filter_known: bool | None, candidates: list[int] | None
) -> list[str]:
    lines = [""] * len(queries)
    for direction in (TAIL, HEAD):
        places = np.flatnonzero(queries.direction == direction)
        given = queries.entity[places], queries.relation[places]
        ask = model.predict_tails if direction == TAIL else model.predict_heads
        columns = given if direction == TAIL else given[::-1]
        found = ask(*columns, k, filter_known=filter_known, candidates=candidates)
        for place, ranking in zip(places.tolist(), found, strict=True):
            lines[place] = line(ranking, model)
    return lines


def test_answers_have_the_same_bits_as_pythons(bundle: Path, ask: Ask) -> None:
    with opened(bundle) as model:
        queries = queries_of(model, 300)  # more than one chunk
        asked = " ".join(map(str, np.stack([queries.entity, queries.relation, queries.direction], 1).ravel().tolist()))
        some = np.random.default_rng(1).permutation(len(model.entities))[: len(model.entities) // 2].tolist()
        lines, expected = [], []
        for k, filter_known, candidates in (
            (10, None, None),
            (3, False, None),
            (3840, True, None),
            (5, None, some),
            (1000, True, some),
            (2, None, []),
        ):
            told = {None: "-", True: "yes", False: "no"}[filter_known]
            named = "-" if candidates is None else " ".join(map(str, candidates))
            lines.append(f"ids\t{k}\t{told}\t{named}\t{asked}")
            expected.append(predictions(model, queries, k, filter_known, candidates))
        for threads in ("1", "2"):
            found = ask(["model", bundle, threads], lines)
            assert [answer.split(";")[:-1] for answer in found] == expected


@pytest.mark.parametrize("family", ["mygo", "adamf_mat"])
def test_thousands_of_answers_are_pythons(family: str, ask: Ask, tmp_path: Path) -> None:
    bundle = random_bundle(tmp_path, family, 4500)
    with opened(bundle) as model:
        queries = queries_of(model, 20)
        asked = " ".join(map(str, np.stack([queries.entity, queries.relation, queries.direction], 1).ravel().tolist()))
        some = np.random.default_rng(1).permutation(4500)[:2000].tolist()
        named = " ".join(map(str, some))
        lines = [f"ids\t1025\tno\t-\t{asked}", f"ids\t3840\tyes\t-\t{asked}", f"ids\t1500\tyes\t{named}\t{asked}"]
        found = [answer.split(";")[:-1] for answer in ask(["model", bundle, "2"], lines)]
        assert found[0] == predictions(model, queries, 1025, False, None)
        assert found[1] == predictions(model, queries, 3840, True, None)
        assert found[2] == predictions(model, queries, 1500, True, some)
        assert [len(answer.split("\t")) - 1 for answer in found[1]] == [3840] * 20


def test_labels_go_in_and_labels_come_out(bundle: Path, ask: Ask) -> None:
    with opened(bundle) as model:
        entity, relation = model.entities[3], model.relations[1]
        found = ask(
            ["model", bundle, "2"],
            [f"labels\t4\ttails\t{entity}\t{relation}", f"labels\t4\theads\t{relation}\t{entity}"],
        )
        tails, heads = model.predict_tails(entity, relation, 4)[0], model.predict_heads(relation, entity, 4)[0]
        assert found == [line(answer, model).split("|")[0] + "|" for answer in (tails, heads)]


def test_a_triple_has_the_score_that_its_tail_has_as_an_answer_and_that_python_gives_it(bundle: Path, ask: Ask) -> None:
    with opened(bundle) as model:
        triples = model.bundle.triples["train"][:20]
        (found,) = ask(["model", bundle, "2"], ["score\t" + " ".join(map(str, triples.ravel().tolist()))])
        for (head, relation, tail), score in zip(triples.tolist(), found.split(), strict=True):
            ranked = model.predict_tails(head, relation, 1, candidates=[tail], filter_known=False)[0]
            assert bits(ranked.scores) == [score]
        numbers = np.array([int(score, 16) for score in found.split()], np.uint32).view(np.float32)
        np.testing.assert_array_equal(numbers, model.score_triples(*triples.T))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_new_entities_have_the_same_bits_and_are_answers(precision: str, ask: Ask, tmp_path: Path) -> None:
    bundle = RELEASED / "mygo" if precision == "fp32" else in_half(RELEASED / "mygo", tmp_path / "bundle", precision)
    with opened(bundle) as model:
        width = model.table.shape[1]
        structure = np.random.default_rng(2).standard_normal((width,), np.float32)
        given: list[tuple[list[int], list[int], NDArray[np.float32] | None]]
        given = [([0, 1, 1], [2], None), ([], [0, 1], None), ([3], [], structure), ([], [], None)]
        lines = []
        for visual, text, own in given:
            told = "-" if own is None else " ".join(bits(own))
            lines.append(f"{' '.join(map(str, visual))}\t{' '.join(map(str, text))}\t{told}")
        ids = [len(model.entities) + i for i in range(len(given))]
        queries = [(ids[0], 0, TAIL), (ids[2], 1, HEAD), (3, 0, TAIL)]
        asked = " ".join(str(number) for query in queries for number in query)
        found = ask(
            ["model", bundle, "2"],
            [
                *(f"encode\t{part}" for part in lines),
                *(f"add\tnew {i}\t{part}" for i, part in enumerate(lines)),
                f"vectors\t{ids[1]}",
                f"ids\t3840\t-\t-\t{asked}",
                f"labels\t3\ttails\tnew 1\t{model.relations[0]}",
                f"add\tnew 1\t{lines[0]}",
            ],
        )
        vectors = [
            model.encode_entities(
                visual_tokens=[visual], text_tokens=[text], structure=None if own is None else own[None]
            )
            for visual, text, own in given
        ]
        assert [line.split() for line in found[:4]] == [bits(vector) for vector in vectors]
        for i, (visual, text, own) in enumerate(given):
            model.add_entities(
                [f"new {i}"], visual_tokens=[visual], text_tokens=[text], structure=None if own is None else own[None]
            )
        assert found[4:8] == [f"{number} " for number in ids]
        assert found[8].split() == bits(vectors[1])
        columns = Queries(*np.array(queries).T)
        assert found[9].split(";")[:-1] == predictions(model, columns, 3840, None, None)
        assert found[10] == line(model.predict_tails("new 1", 0, 3)[0], model).split("|")[0] + "|"
        assert found[11].startswith("query\tentity label 'new 1' exists already")


def test_what_may_not_be_asked_is_an_error_of_the_query(ask: Ask) -> None:
    bundle = RELEASED / "mygo"
    with opened(bundle) as model:
        entity, relation, most = model.entities[0], model.relations[0], len(model.entities)
    wrong = {
        f"labels\t3\ttails\tnobody\t{relation}": "unknown entity 'nobody'",
        f"labels\t3\ttails\t{entity}\tnothing": "unknown relation 'nothing'",
        f"labels\t0\ttails\t{entity}\t{relation}": "k is 0; expected a whole number from 1 to 3,840",
        f"labels\t3841\ttails\t{entity}\t{relation}": "k is 3841",
        f"ids\t3\t-\t-\t{most} 0 0": f"entity id {most} (number 0 of 1) is out of range; ids are 0 to {most - 1}.",
        "ids\t3\t-\t-\t0 0 0 -1 0 0": "entity id -1 (number 1 of 2)",
        "ids\t3\t-\t-\t0 9223372036854775807 0": "relation id 9223372036854775807",
        "ids\t3\t-\t-\t0 0 2": "missing (number 0 of 1) is 2; expected tail or head",
        f"ids\t3\t-\t0 {most}\t0 0 0": f"entity id {most} (number 1 of 2)",
        f"score\t0 0 {most}": f"entity id {most}",
        "vectors\t-1": "entity id -1",
        "encode\t-1\t0\t-": "visual token -1 (entity 0, slot 0) is not in the codebook",
        "encode\t0\t0 99999\t-": "text token 99999 (entity 0, slot 1)",
        "encode\t0\t0\t3f800000": "structure of entity 0 has 1 numbers",
        "encode\t" + "0 " * 5000 + "\t0\t-": "5,000 visual tokens; an entity has at most",
        "add\t\t0\t0\t-": "entity label '' is no line",
        f"add\t{entity}\t0\t0\t-": "exists already",
        f"add\t{'x' * 10_001}\t0\t0\t-": "has 10,001 characters",
    }
    found = ask(["model", bundle, "1"], list(wrong))
    for answer, message in zip(found, wrong.values(), strict=True):
        fault, said = answer.split("\t", 1)
        assert fault == "query"
        assert message in said


def test_a_table_that_grew_in_any_steps_answers_as_pythons(ask: Ask) -> None:
    """Segments that are made anew, kept and joined: 4,096 rows and more, and few."""
    bundle, random = RELEASED / "mygo", np.random.default_rng(3)
    with opened(bundle) as model:
        before, width = len(model.entities), model.table.shape[1]
        lines = []
        for step, count in enumerate((1, 2, 4200, 1, 4100, 3)):
            structure = random.standard_normal((count, width), np.float32)
            labels = [f"new {step} {i}" for i in range(count)]
            model.add_entities(labels, visual_tokens=[[0]] * count, text_tokens=[[]] * count, structure=structure)
            parts = [f"{label}\t0\t\t{' '.join(bits(row))}" for label, row in zip(labels, structure, strict=True)]
            lines.append("add\t" + "\t".join(parts))
        size = len(model.entities)
        entity = np.array([0, 3, before, before + 3, size - 1, 5])
        queries = Queries(entity, np.array([0, 1, 0, 1, 0, 1]), np.array([TAIL, HEAD, TAIL, HEAD, HEAD, TAIL]))
        some = [1, 4, before - 1, before, before + 2, before + 4202, before + 5000, size - 1]
        columns = np.stack([queries.entity, queries.relation, queries.direction], 1).ravel().tolist()
        asked = " ".join(map(str, columns))
        triples = [(0, 1, size - 1), (before, 0, 2), (size - 1, 1, before + 4500), (3, 0, 4)]
        lines += [f"ids\t20\tyes\t-\t{asked}", f"ids\t6\t-\t{' '.join(map(str, some))}\t{asked}"]
        lines += [f"ids\t3\t-\t-\t{' '.join(map(str, columns[:3] * 300))}"]  # more than one chunk
        lines += ["score\t" + " ".join(str(number) for triple in triples for number in triple)]
        for threads in ("1", "2"):
            found = ask(["model", bundle, threads], lines)[6:]
            assert found[0].split(";")[:-1] == predictions(model, queries, 20, True, None)
            assert found[1].split(";")[:-1] == predictions(model, queries, 6, None, some)
            first = Queries(queries.entity[:1], queries.relation[:1], queries.direction[:1])
            assert found[2].split(";")[:-1] == predictions(model, first, 3, None, None) * 300
            assert found[3].split() == bits(model.score_triples(*np.array(triples).T))
