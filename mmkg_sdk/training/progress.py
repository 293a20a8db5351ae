"""The live line on stderr: epoch, loss, MRR, triples per second and the time that is left."""

from __future__ import annotations

import sys
import time

from ..errors import missing_package
from .settings import TrainingSettings

_FORMAT = "{percentage:3.0f}%|{bar}| {desc}"


class ProgressLine:
    """One line for the whole training; it moves on a terminal, and is repeated every 30 s in a log file."""

    def __init__(self, settings: TrainingSettings, *, steps: int, done: int, shown: bool) -> None:
        try:
            from tqdm import tqdm
        except ImportError as err:
            raise missing_package("tqdm", "train", "training") from err
        self._settings = settings
        self._started = time.monotonic()
        self._steps, self._before, self._done, self._triples = steps, done, done, 0
        self._validated = "not validated yet"
        self._bar = tqdm(
            total=steps,
            initial=done,
            file=sys.stderr,
            disable=not shown,
            bar_format=_FORMAT,
            mininterval=0.2 if sys.stderr.isatty() else 30.0,
            dynamic_ncols=True,
        )

    def step(self, *, epoch: int, loss: float | None, triples: int, seconds: float) -> None:
        """Show one more step.

        Args:
            epoch: from 1.
            loss: as it was read last; None before that.
            triples: of the step.
            seconds: wall-clock time of all sessions.
        """
        self._triples += triples
        self._done += 1
        if self._bar.disable:
            return
        spent = time.monotonic() - self._started
        left = (self._steps - self._done) * spent / (self._done - self._before)
        if self._settings.max_minutes:
            left = min(left, max(0.0, 60 * self._settings.max_minutes - seconds))
        speed = f"{self._triples / spent:,.0f} triples/s, ETA {self._bar.format_interval(left)}"
        shown = "loss not read yet" if loss is None else f"loss {loss:.4f}"
        self._bar.set_description_str(
            f"epoch {epoch}/{self._settings.epochs}, {shown}, {self._validated}, {speed}", refresh=False
        )
        self._bar.update()

    def validated(self, metric: str, value: float) -> None:
        """Show this metric from now on."""
        self._validated = f"{metric} {value:.4f}"

    def close(self) -> None:
        """Leave the line as it stands."""
        self._bar.close()
