"""Named ranges for NVIDIA's profilers: `--nvtx`.

NEVER RUN ON A GPU.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from mmkg_sdk.errors import BackendError

Range = Callable[[str], AbstractContextManager[Any]]


def open_ranges(*, asked: bool) -> Range:
    """What marks a range by name; one that does nothing unless it was asked for.

    Raises:
        BackendError: the package nvtx is not installed.
    """
    if not asked:
        return lambda name: nullcontext()
    try:
        import nvtx
    except ModuleNotFoundError as err:
        raise BackendError("named ranges need nvtx, which is not installed. Run: pip install nvtx") from err
    return lambda name: nvtx.annotate(name, domain="mmkg-sdk bench gpu")  # type: ignore[no-any-return]
