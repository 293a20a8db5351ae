"""How many CPU threads torch gets, for the whole process."""

from __future__ import annotations

import os
import sys
import warnings

from ..errors import BackendError
from ..kernels import default_threads

# Whether this process was forked from one that had loaded torch.
_forked_with_torch = False


def use_torch_threads(threads: int | None = None) -> None:
    """Give torch so many CPU threads; None lowers its own choice to `default_threads()`.

    Torch's threads do not survive a fork, and it would wait for them for ever. So in a process that was forked from one
    that had loaded torch it gets one, with a warning where it would have more.

    Raises:
        BackendError: more than one is asked for in such a process.
    """
    import torch

    before = torch.get_num_threads()
    if not _forked_with_torch:
        wanted = threads or min(before, default_threads())
        if wanted != before:
            torch.set_num_threads(wanted)
        return
    cause = (
        "this process was forked from one that had loaded torch, whose threads do not survive that. Start processes "
        "with the 'spawn' method"
    )
    if threads is not None and threads > 1:
        raise BackendError(f"torch cannot have {threads} threads: {cause}, or pass threads=1.")
    if before > 1:
        warnings.warn(f"torch gets one thread: {cause} for more.", stacklevel=2)
    torch.set_num_threads(1)


def _note_fork() -> None:
    global _forked_with_torch
    _forked_with_torch = "torch" in sys.modules


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)
