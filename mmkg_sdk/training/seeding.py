"""Random numbers as a function of seed and epoch, so that a resumed training needs no generator states."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from ..backends import use_torch_threads


def seed_everything(seed: int) -> None:
    """Seed torch (all devices), Python and numpy; call it before building a model."""
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)


def seed_epoch(seed: int, epoch: int, rank: int) -> torch.Generator:
    """Seed torch, Python and numpy for one epoch and return the generator that shuffles it.

    Shuffle, Python and numpy are the same in every process; torch's own generator (dropout) differs by rank.
    """
    states = np.random.SeedSequence([seed, epoch]).generate_state(3 + rank, np.uint64) >> np.uint64(1)
    shuffle, shared, *ranks = states.tolist()
    seed_everything(shared)
    torch.manual_seed(ranks[rank])
    return torch.Generator().manual_seed(shuffle)


@contextmanager
def repeatable(threads: int | None, device: torch.device) -> Iterator[None]:
    """Set the CPU thread count and, on the CPU, torch's deterministic algorithms; put both back at the end.

    On CUDA the algorithms are left alone: deterministic ones need a setting of cuBLAS and cost time.
    """
    threads_before = torch.get_num_threads()
    mode_before = torch.get_deterministic_debug_mode()
    memory: Any = torch.utils.deterministic
    fill_before = memory.fill_uninitialized_memory
    use_torch_threads(threads)
    if device.type == "cpu":
        torch.set_deterministic_debug_mode("warn")
        memory.fill_uninitialized_memory = False  # a debugging aid that costs a pass over memory
    try:
        yield
    finally:
        torch.set_num_threads(threads_before)
        torch.set_deterministic_debug_mode(mode_before)
        memory.fill_uninitialized_memory = fill_before
