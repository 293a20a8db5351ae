"""Training batches as the authors draw them: positives with replacement, negatives that are no training triple.

A negative replaces the tail with probability hpt / (hpt + tph), tph = training tails per head of the relation, hpt =
heads per tail (Wang et al. 2014), otherwise the head. Random numbers come from outside, so that the authors' generator
and torch's serve alike.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from ...errors import DataError


class Sampler:
    """Batches of one training set.

    Args:
        triples: int64 [n, 3] head, relation, tail; duplicates count once.
        num_entities, num_relations: ids lie below these.

    Attributes:
        triples: int64 [distinct, 3], sorted by head, relation, tail.
        tails_per_head, heads_per_tail: float32 [R]; NaN for a relation without training triples.
        tail_probability: float32 [R]: that a negative replaces the tail.

    Raises:
        DataError: if there are no triples, or one of which no entity can be replaced without giving another one.
    """

    def __init__(self, triples: NDArray[np.int64], num_entities: int, num_relations: int) -> None:
        if not len(triples):
            raise DataError("there are no training triples to draw from.")
        self.triples = np.unique(triples, axis=0)
        self.num_entities = num_entities
        head, relation, tail = self.triples.T
        self._tails, self._heads = _Answers(relation, head, tail), _Answers(relation, tail, head)
        count = np.bincount(relation, minlength=num_relations).astype(np.float32)
        with np.errstate(invalid="ignore"):  # 0 / 0 for a relation that is never drawn
            self.tails_per_head = count / self._tails.queries_per_relation(num_relations)
            self.heads_per_tail = count / self._heads.queries_per_relation(num_relations)
        self.tail_probability = self.heads_per_tail / (self.heads_per_tail + self.tails_per_head)
        full = (self._tails.counts(np.arange(len(head))) == num_entities) & (
            self._heads.counts(np.arange(len(head))) == num_entities
        )
        if full.any():
            raise DataError(
                f"training triple {self.triples[full.argmax()].tolist()} has no negatives: its head and relation occur "
                "with every tail, its relation and tail with every head. Remove this relation from the training."
            )

    def __len__(self) -> int:
        return len(self.triples)

    def batch(self, numbers: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
        """The batch that uniform random numbers stand for.

        Args:
            numbers: uint64 [P, 1 + 2 negatives]. The first of a row picks the positive, modulo their count; then of
                each pair, the first picks the side, the second the entity, modulo the count of the allowed ones.

        Returns:
            positives int64 [P, 3]; negatives int64 [P, negatives], the entity put in; replaces_tail bool
            [P, negatives], True where it takes the place of the tail.
        """
        chosen = (numbers[:, 0] % np.uint64(len(self.triples))).astype(np.int64)
        relation = self.triples[chosen, 1]
        threshold = np.float32(1000) * self.heads_per_tail / (self.heads_per_tail + self.tails_per_head)
        replaces_tail = (numbers[:, 1::2] % np.uint64(1000)).astype(np.float32) < threshold[relation][:, None]
        # A side on which every entity gives a training triple leaves the other one; the authors' program stops there.
        replaces_tail &= (self._tails.counts(chosen) < self.num_entities)[:, None]
        replaces_tail |= (self._heads.counts(chosen) == self.num_entities)[:, None]
        negatives = np.where(
            replaces_tail,
            self._tails.absent(chosen, numbers[:, 2::2], self.num_entities),
            self._heads.absent(chosen, numbers[:, 2::2], self.num_entities),
        )
        return self.triples[chosen], negatives, replaces_tail


class _Answers:
    """For each training triple, the entities that may stand in the place of one of its own, as sorted lists.

    Args:
        relation, entity: int64 [n], the query; answer: int64 [n].
    """

    def __init__(self, relation: NDArray[np.int64], entity: NDArray[np.int64], answer: NDArray[np.int64]) -> None:
        order = np.lexsort((answer, entity, relation))
        queries = np.stack([relation, entity], axis=1)[order]
        starts = np.append(True, (queries[1:] != queries[:-1]).any(axis=1))
        self._relations = queries[starts, 0]
        self._offsets = np.append(np.flatnonzero(starts), len(order))
        list_of_row = np.cumsum(starts) - 1
        self._list_of_triple = np.empty(len(order), np.int64)
        self._list_of_triple[order] = list_of_row
        # Entities that are no answer below the i-th answer a: a - i. Ascending within a list; the number of the list
        # in the upper half makes the whole array ascending.
        missing_before = answer[order] - (np.arange(len(order)) - self._offsets[list_of_row])
        self._keys = (list_of_row << 32) + missing_before

    def queries_per_relation(self, num_relations: int) -> NDArray[np.float32]:
        """float32 [num_relations]: how many different queries each relation has."""
        return np.bincount(self._relations, minlength=num_relations).astype(np.float32)

    def counts(self, triples: NDArray[np.int64]) -> NDArray[np.int64]:
        """int64 [P]: how many answers the queries of the given triples have."""
        counts: NDArray[np.int64] = np.diff(self._offsets)[self._list_of_triple[triples]]
        return counts

    def absent(self, triples: NDArray[np.int64], numbers: NDArray[np.uint64], num_entities: int) -> NDArray[np.int64]:
        """int64 [P, m]: for each number, that entity (modulo their count) of those that are no answer, ascending.

        A query that every entity answers gives num_entities, which is none.
        """
        allowed = np.maximum(num_entities - self.counts(triples), 1).astype(np.uint64)
        position = (numbers % allowed[:, None]).astype(np.int64)
        lists = self._list_of_triple[triples][:, None]
        answers_before = np.searchsorted(self._keys, (lists << 32) + position, side="right") - self._offsets[lists]
        found: NDArray[np.int64] = position + answers_before
        return found


class OfficialNumbers:
    """The random numbers of the authors' sampler: one 64-bit linear congruential generator per thread.

    Args:
        states: uint64 [threads], the state of each.
    """

    def __init__(self, states: NDArray[np.uint64]) -> None:
        self.states = states.astype(np.uint64)

    def draw(self, batch_size: int, num_negatives: int) -> NDArray[np.uint64]:
        """uint64 [P, 1 + 2 negatives] for Sampler.batch. Each thread fills the rows of a contiguous share."""
        threads = len(self.states)
        share = batch_size // threads + (batch_size % threads > 0)
        rows = np.clip(batch_size - share * np.arange(threads), 0, share)
        columns = 1 + 2 * num_negatives
        # n steps at once: state * a^n + 11 (1 + a + ... + a^(n - 1)), modulo 2^64, as unsigned integers wrap around.
        powers = np.multiply.accumulate(np.full(share * columns, 25214903917, np.uint64))
        sums = np.add.accumulate(np.append(np.uint64(1), powers[:-1])) * np.uint64(11)
        values = self.states[:, None] * powers + sums
        last = rows * columns - 1
        self.states = np.where(rows > 0, values[np.arange(threads), last], self.states)
        return values.reshape(-1, columns)[(np.arange(share) < rows[:, None]).ravel()]


def torch_numbers(generator: torch.Generator, batch_size: int, num_negatives: int) -> NDArray[np.uint64]:
    """The same from a torch generator, below 2^63; what modulo favours is less than one in 10^9."""
    numbers = torch.randint(2**63 - 1, (batch_size, 1 + 2 * num_negatives), generator=generator)
    found: NDArray[np.uint64] = numbers.numpy().astype(np.uint64)
    return found
