"""From an objective's batches to tensors on the device; on a GPU the next batch is made while one is computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

import torch

from ...families.objective import Batch, TrainingObjective
from ..distributed import ProcessGroup

T = TypeVar("T")


@dataclass(frozen=True)
class Share:
    """What one process computes of a batch.

    Attributes:
        tensors: of `TrainingObjective.prepared`.
        rows: of the whole batch.
        weight: of this process's mean in the mean of the batch.
    """

    tensors: Batch
    rows: int
    weight: float


def device_shares(
    objective: TrainingObjective, batch_size: int, generator: torch.Generator, group: ProcessGroup
) -> Iterator[Share]:
    """One epoch of this process's shares, on its device.

    For a GPU they go through page-locked memory, so that no copy waits for the queue of the GPU. torch keeps such
    memory until the copy out of it is done.
    """
    shares = _host_shares(objective, batch_size, generator, group)
    if group.device.type == "cuda":
        # Page-locked memory is of the thread's GPU, and each thread begins with the first.
        shares = one_ahead(map(_pinned, shares), lambda: torch.cuda.set_device(group.device))
    for share in shares:
        tensors = tuple(tensor.to(group.device, non_blocking=True) for tensor in share.tensors)
        yield Share(tensors, share.rows, share.weight)


def one_ahead(items: Iterator[T], begin: Callable[[], object] = lambda: None) -> Iterator[T]:
    """The same items in the same order, each of them made in another thread while the one before is in use.

    Args:
        begin: what that thread does first.
    """
    end = object()
    with ThreadPoolExecutor(1, thread_name_prefix="batches", initializer=begin) as thread:
        following = thread.submit(next, items, end)
        while (item := following.result()) is not end:
            following = thread.submit(next, items, end)
            yield item  # type: ignore[misc]


def _host_shares(
    objective: TrainingObjective, batch_size: int, generator: torch.Generator, group: ProcessGroup
) -> Iterator[Share]:
    for batch in objective.batches(batch_size, generator):
        part, weight = group.share(batch)
        yield Share(objective.prepared(*part), len(batch[0]), weight)


def _pinned(share: Share) -> Share:
    return replace(share, tensors=tuple(tensor.pin_memory() for tensor in share.tensors))
