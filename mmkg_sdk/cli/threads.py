"""--threads: how many CPU threads a command uses, whatever computes."""

from __future__ import annotations

import os

import click

_VARIABLE = "OMP_NUM_THREADS"  # read by kernels/threads.py, and by torch and others when they are loaded


def _set_default(context: click.Context, parameter: click.Parameter, threads: int | None) -> None:
    if threads is None:
        return
    before = os.environ.get(_VARIABLE)

    def put_back() -> None:
        if before is None:
            del os.environ[_VARIABLE]
        else:
            os.environ[_VARIABLE] = before

    os.environ[_VARIABLE] = str(threads)
    context.call_on_close(put_back)


threads_option = click.option(
    "--threads",
    type=click.IntRange(1, 1024),
    callback=_set_default,
    expose_value=False,
    help="CPU threads. Default: as `mmkg-sdk env` says.",
)
