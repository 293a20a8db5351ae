"""Random numbers that are a function of seed and epoch, so that a resumed training needs no generator states."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def seed_everything(seed: int) -> None:
    """Seed torch (all devices), Python and numpy; call it before building a model."""
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)


def seed_epoch(seed: int, epoch: int, rank: int) -> torch.Generator:
    """Seed torch, Python and numpy for one epoch and return the generator that shuffles it.

    The shuffle, Python and numpy are the same in every process; torch's own generator (dropout) differs by rank.
    """
    shuffle, shared, *ranks = np.random.SeedSequence([seed, epoch]).generate_state(3 + rank, np.uint64).tolist()
    seed_everything(shared >> 1)
    torch.manual_seed(ranks[rank] >> 1)
    return torch.Generator().manual_seed(shuffle >> 1)


@contextmanager
def repeatable(threads: int | None, device: torch.device) -> Iterator[None]:
    """Set the CPU thread count and, on the CPU, torch's deterministic algorithms; put both back at the end.

    On CUDA the algorithms are left alone: the deterministic ones need a process-wide cuBLAS setting and cost speed.
    """
    threads_before = torch.get_num_threads()
    mode_before = torch.get_deterministic_debug_mode()
    fill_before = torch.utils.deterministic.fill_uninitialized_memory
    if threads is not None:
        torch.set_num_threads(threads)
    if device.type == "cpu":
        torch.set_deterministic_debug_mode("warn")
        torch.utils.deterministic.fill_uninitialized_memory = False  # a debugging aid that costs a pass over memory
    try:
        yield
    finally:
        torch.set_num_threads(threads_before)
        torch.set_deterministic_debug_mode(mode_before)
        torch.utils.deterministic.fill_uninitialized_memory = fill_before
