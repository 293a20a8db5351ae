"""Contenders take turns: each in a process of its own, in alternating order, so that other work meets all alike."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Any

from mmkg_sdk.errors import QueryError

from .worker_process import ContenderError, PointError, WorkerProcess


class Contestants:
    """Contenders whose processes run; to be used in a `with` statement.

    Args:
        module: of this package, what their processes open (worker.py).
        jobs: by name, what they are told.
        threads: of each.
        at_once: let all come up together and wait for the last, rather than one after the other: where opening is a
            measurement, too.

    Attributes:
        absent: who cannot take part, and why.
    """

    def __init__(self, module: str, jobs: Mapping[str, Mapping[str, Any]], threads: int, *, at_once: bool) -> None:
        self._workers = {name: WorkerProcess(module, job, threads) for name, job in jobs.items()}
        self._at_once = at_once
        self._stack = ExitStack()
        self.absent: dict[str, str] = {}

    def in_turn(self, number: int) -> list[str]:
        """Who takes part in a round, in order: every other round goes from the last to the first."""
        return [name for name in self._workers if name not in self.absent][:: -1 if number % 2 else 1]

    def ask(self, name: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """The reply to a request; a process that died is started anew.

        Raises:
            PointError, ContenderError: see `WorkerProcess.ask`.
        """
        return self._workers[name].ask(request)

    def __enter__(self) -> Contestants:
        with self._stack as stack:
            for worker in self._workers.values():
                stack.enter_context(worker)
                if self._at_once:
                    worker.launch()
            for name, worker in self._workers.items():
                try:
                    worker.wait_until_ready()
                except (PointError, ContenderError) as err:
                    self.absent[name] = str(err)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()


def check_turns(threads: int, seconds: float, rounds: int) -> None:
    """Whether turns can be taken like that.

    Args:
        seconds: per contender, point and round.

    Raises:
        QueryError: out of range.
    """
    if not 1 <= threads <= 1024:
        raise QueryError(f"threads is {threads}; expected 1 to 1,024.")
    if not 0 < seconds <= 3600:
        raise QueryError(f"seconds is {seconds}; expected more than 0, at most 3,600, per contender and point.")
    if not 1 <= rounds <= 100:
        raise QueryError(f"rounds is {rounds}; expected 1 to 100.")
