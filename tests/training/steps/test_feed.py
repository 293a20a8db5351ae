"""Batches on their way to the device: the same shares in the same order, each made while the one before is used."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from mmkg_sdk.training.distributed import ProcessGroup
from mmkg_sdk.training.steps.feed import device_shares, one_ahead
from tests.training.tiny import Objective, new_objective

CPU = torch.device("cpu")


def test_shares_are_the_batches_of_the_objective_as_it_prepares_them() -> None:
    class Doubling(Objective):
        def prepared(self, *batch: Tensor) -> tuple[Tensor, ...]:
            return (*batch, 2 * batch[0])

    objective = new_objective()
    objective.__class__ = Doubling
    batches = list(objective.batches(16, torch.Generator().manual_seed(4)))
    shares = list(device_shares(objective, 16, torch.Generator().manual_seed(4), ProcessGroup(0, 1, CPU)))
    assert [share.rows for share in shares] == [16, 16, 8]
    assert {share.weight for share in shares} == {1.0}
    for share, (triples, tails) in zip(shares, batches, strict=True):
        for found, expected in zip(share.tensors, (triples, tails, 2 * triples), strict=True):
            assert torch.equal(found, expected)


def test_a_process_prepares_its_own_rows_only() -> None:
    objective, group = new_objective(), ProcessGroup(1, 2, CPU)
    (batch,) = objective.batches(40, torch.Generator().manual_seed(4))
    (share,) = device_shares(objective, 40, torch.Generator().manual_seed(4), group)
    assert (share.rows, share.weight) == (40, 0.5)
    assert torch.equal(share.tensors[0], batch[0][20:])


def test_items_made_ahead_keep_their_order_and_are_made_while_the_one_before_is_used() -> None:
    made = [threading.Event() for _ in range(4)]

    def items() -> Iterator[tuple[int, int]]:
        for number, event in enumerate(made):
            event.set()
            yield number, threading.get_ident()

    found = []
    for number, maker in one_ahead(items()):
        if number < 3:
            assert made[number + 1].wait(timeout=10), "the next one waits for the use of this one"
        found.append((number, maker == threading.get_ident()))
    assert found == [(number, False) for number in range(4)]


def test_the_other_thread_begins_with_what_it_is_told() -> None:
    places = threading.local()

    def items() -> Iterator[str]:
        yield places.device

    assert list(one_ahead(items(), lambda: setattr(places, "device", "cuda:1"))) == ["cuda:1"]
    assert not hasattr(places, "device")


def test_nothing_ahead_of_nothing() -> None:
    assert list(one_ahead(iter(()))) == []


def test_an_error_in_the_other_thread_comes_to_where_the_item_was_asked_for() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("the second batch")

    ahead = one_ahead(items())
    assert next(ahead) == 1
    with pytest.raises(ValueError, match="the second batch"):
        next(ahead)


def test_an_epoch_that_is_left_early_leaves_no_thread() -> None:
    before = threading.active_count()
    ahead = one_ahead(iter(range(100)))
    assert next(ahead) == 0
    assert threading.active_count() == before + 1
    ahead.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before
