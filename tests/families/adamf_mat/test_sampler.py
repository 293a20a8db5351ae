"""The sampler against the authors' batches, and against a loop that a child could check."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmkg_sdk.errors import DataError
from mmkg_sdk.families.adamf_mat.sampler import OfficialNumbers, Sampler, torch_numbers
from tests.families.adamf_mat.cases import CASES, Case, golden


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return golden(request.param)


def golden_sampler(case: Case) -> Sampler:
    return Sampler(case.inputs["train_triples"], case.options["num_ent"], case.options["num_rel"])


def plain_numbers(states: list[int], batch_size: int, columns: int) -> list[list[int]]:
    """The generator of the specification, one value at a time; `states` are moved on."""
    threads = len(states)
    share = batch_size // threads if batch_size % threads == 0 else batch_size // threads + 1
    rows = []
    for thread in range(threads):
        for _ in range(min(thread * share, batch_size), min((thread + 1) * share, batch_size)):
            row = []
            for _ in range(columns):
                states[thread] = (states[thread] * 25214903917 + 11) % 2**64
                row.append(states[thread])
            rows.append(row)
    return rows


def plain_batch(triples: np.ndarray, num_entities: int, numbers: list[list[int]]) -> list[list[tuple[int, bool]]]:
    """For each positive its negatives: the entity, and whether it replaces the tail."""
    known = sorted({tuple(t) for t in triples.tolist()})
    found = []
    for row in numbers:
        head, relation, tail = known[row[0] % len(known)]
        of_relation = [t for t in known if t[1] == relation]
        hpt = np.float32(len(of_relation)) / np.float32(len({t[2] for t in of_relation}))
        tph = np.float32(len(of_relation)) / np.float32(len({t[0] for t in of_relation}))
        negatives = []
        for side, pick in zip(row[1::2], row[2::2], strict=True):
            at_tail = bool(side % 1000 < np.float32(1000) * hpt / (hpt + tph))
            tails = [e for e in range(num_entities) if (head, relation, e) not in known]
            heads = [e for e in range(num_entities) if (e, relation, tail) not in known]
            if not (tails if at_tail else heads):
                at_tail = not at_tail
            allowed = tails if at_tail else heads
            negatives.append((allowed[pick % len(allowed)], at_tail))
        found.append(negatives)
    return found


def test_relation_statistics_equal_the_official_ones(case: Case) -> None:
    sampler = golden_sampler(case)
    np.testing.assert_array_equal(sampler.tails_per_head, case.outputs["bern_tail_per_head"])
    np.testing.assert_array_equal(sampler.heads_per_tail, case.outputs["bern_head_per_tail"])
    np.testing.assert_allclose(sampler.tail_probability, case.outputs["sampler_tail_prob"], rtol=1e-6)


def test_three_batches_equal_the_official_ones_bit_by_bit(case: Case) -> None:
    sampler, numbers = golden_sampler(case), OfficialNumbers(case.inputs["sampler_state"])
    for step in range(3):
        found = sampler.batch(numbers.draw(case.options["batch_size"], case.options["neg_num"]))
        for ours, official in zip(found, case.batch(step), strict=True):
            np.testing.assert_array_equal(ours, official.numpy())


@pytest.mark.parametrize(("batch_size", "threads"), [(16, 4), (10, 4), (7, 3), (3, 8), (1, 1), (9, 8)])
def test_official_numbers_are_those_of_the_plain_generator(batch_size: int, threads: int) -> None:
    states = [(17 + 2**60 * i) % 2**64 for i in range(threads)]
    numbers = OfficialNumbers(np.array(states, np.uint64))
    for _ in range(3):
        found = numbers.draw(batch_size, 2)
        assert found.dtype == np.uint64
        assert found.tolist() == plain_numbers(states, batch_size, 5)
    assert numbers.states.tolist() == states


@pytest.mark.parametrize("seed", range(4))
def test_batches_of_random_graphs_equal_those_of_a_plain_loop(seed: int) -> None:
    random = np.random.default_rng(seed)
    entities, relations = 7, 3
    triples = random.integers(0, [entities, relations, entities], (60, 3))  # dense and with duplicates
    triples = np.concatenate([triples, [[2, 1, tail] for tail in range(entities)]])  # a head with every tail
    triples = np.concatenate([triples, [[head, 2, 4] for head in range(entities)]])  # a tail with every head
    sampler = Sampler(triples, entities, relations)
    numbers = random.integers(0, 2**64, (40, 1 + 2 * 6), np.uint64)
    positives, negatives, replaces_tail = sampler.batch(numbers)
    expected = plain_batch(triples, entities, numbers.tolist())
    known = {tuple(t) for t in triples.tolist()}
    for j, row in enumerate(expected):
        assert tuple(positives[j]) in known
        assert list(zip(negatives[j].tolist(), replaces_tail[j].tolist(), strict=True)) == row
        for entity, at_tail in row:
            head, relation, tail = positives[j].tolist()
            assert ((head, relation, entity) if at_tail else (entity, relation, tail)) not in known


def test_torch_numbers_reach_every_triple_and_repeat_with_the_seed(case: Case) -> None:
    sampler = golden_sampler(case)
    numbers = torch_numbers(torch.Generator().manual_seed(3), 4000, 1)
    assert np.array_equal(numbers, torch_numbers(torch.Generator().manual_seed(3), 4000, 1))
    positives, _, replaces_tail = sampler.batch(numbers)
    assert len(np.unique(positives, axis=0)) == len(sampler)
    expected = sampler.tail_probability[positives[:, 1]].mean()
    assert replaces_tail.mean() == pytest.approx(expected, abs=0.03)


def test_a_relation_without_training_triples_does_no_harm() -> None:
    sampler = Sampler(np.array([[0, 2, 1]]), num_entities=3, num_relations=4)
    _, negatives, replaces_tail = sampler.batch(torch_numbers(torch.Generator().manual_seed(0), 50, 4))
    assert set(negatives[replaces_tail]) == {0, 2}
    assert set(negatives[~replaces_tail]) == {1, 2}


def test_a_relation_that_holds_between_all_entities_is_refused() -> None:
    triples = np.array([[h, 0, t] for h in range(3) for t in range(3)])
    with pytest.raises(DataError, match=r"triple \[0, 0, 0\] has no negatives"):
        Sampler(triples, num_entities=3, num_relations=1)


def test_an_empty_training_set_is_refused() -> None:
    with pytest.raises(DataError, match="no training triples"):
        Sampler(np.empty((0, 3), np.int64), num_entities=3, num_relations=1)
