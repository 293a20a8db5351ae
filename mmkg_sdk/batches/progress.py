"""The bar on stderr, while rows are answered; none where stderr is no terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ..errors import missing_package


@contextmanager
def progress(total: int | None, done: int, *, shown: bool) -> Iterator[Callable[[int], object]]:
    """What is to be told how many rows more were answered.

    Args:
        total: of the file; None where it does not say so.
        done: by an earlier run.

    Raises:
        BackendError: tqdm is not installed, and there is a terminal.
    """
    if not shown or not sys.stderr.isatty():
        yield lambda rows: None
        return
    try:
        from tqdm import tqdm
    except ModuleNotFoundError as err:
        raise missing_package("tqdm", "tables", "the progress bar") from err
    with tqdm(total=total, initial=done, file=sys.stderr, unit=" rows", unit_scale=True, dynamic_ncols=True) as bar:
        yield bar.update
