"""Time to the first answer of a fresh process, as a row of its own for each of the SDK's ways.

NEVER RUN ON A GPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..machine.worker_process import PointError
from ..report.percentiles import start_numbers
from ..report.results import Row
from ..sweep.cold_start import cold_start
from .point import NOT_REACHED


class Starts:
    """Fresh processes of one contender: import, load, first answer."""

    def __init__(self, name: str, backend: str, job: Mapping[str, Any]) -> None:
        self._name, self._job = name, {**job, "backend": backend}
        self._found: list[dict[str, Any]] = []
        self._failure: str | None = None
        self._absence: str | None = NOT_REACHED

    def again(self) -> None:
        """One more, unless one failed."""
        if self._failure is None:
            try:
                self._found.append(cold_start(self._job))
            except PointError as err:
                self._failure = str(err)
            self._absence = None

    def rule_out(self, why: str) -> None:
        """It cannot run here."""
        self._absence = why

    def row(self) -> Row:
        """What is known by now."""
        return Row(
            mode="cold-start",
            contender=self._name,
            backend=self._job["backend"],
            device=self._job["device"],
            graph=None,
            tokens=None,
            token_count=None,
            batch=None,
            own_batch=False,
            load=None,
            unit=None,
            status="failed" if self._failure else "measured" if self._found else "not measured",
            samples=len(self._found),
            rounds=len(self._found),
            note=self._failure or self._absence,
            numbers=start_numbers(self._found) if self._found else {},
        )
