"""Place: what every contender is measured at; and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from mmkg_sdk.bundle import Bundle
from mmkg_sdk.errors import QueryError
from mmkg_sdk.families.measuring import Curve, Tokens, measuring

from ..report.results import SweepMode, axis_name
from .questions import asked_things, list_size

MODES: tuple[SweepMode, ...] = get_args(SweepMode)

# Rates of the server mode, as shares of the offline rate.
LOADS = (0.25, 0.5, 0.75, 0.9)
_LARGEST_BATCH = 65536


@dataclass(frozen=True)
class Place:
    """One thing to measure.

    Attributes:
        curve, token_count: of the mode "throughput".
        batch: entities per run, where a size was asked for; questions per call offline, and at most in the server mode.
        load: share of the offline rate at which questions arrive in the server mode.
        unit: what is counted per second; None where nothing is.
    """

    mode: SweepMode
    unit: str | None = None
    curve: Curve | None = None
    token_count: int | None = None
    batch: int | None = None
    load: float | None = None

    def __str__(self) -> str:
        if self.curve and self.token_count:
            batch = f", batch {self.batch}" if self.batch else ""
            return f"{self.curve.graph}{batch}, {self.token_count} {axis_name(self.curve.tokens)}"
        return f"{self.mode}, {self.load:.0%} of the offline rate" if self.load else self.mode


def chosen_modes(asked: Sequence[str] | None) -> tuple[SweepMode, ...]:
    """The modes to measure, in the order in which they are measured; None takes all.

    Raises:
        QueryError: none, an unknown one, or "server" without "offline".
    """
    chosen = MODES if asked is None else tuple(mode for mode in MODES if mode in asked)
    unknown = [mode for mode in asked or () if mode not in MODES]
    if unknown or not chosen:
        found = f"unknown mode {unknown[0]!r}" if unknown else "no mode given"
        raise QueryError(f"{found}; expected some of {', '.join(MODES)}.")
    if "server" in chosen and "offline" not in chosen:
        raise QueryError("the rates of mode 'server' are shares of what 'offline' finds; name both.")
    return chosen


def chosen_batches(bundle: Bundle, asked: Sequence[int | None] | None) -> tuple[int | None, ...]:
    """Entities per run of the encoder, each once; None among them, and by default, is the SDK's own choice.

    Raises:
        QueryError: a size out of range, or a family whose graphs are measured at one batch size only.
    """
    if asked is None:
        return (None,)
    if any(curve.tokens != "all" for curve in measuring(bundle.family).curves(bundle)):
        raise QueryError(f"batch sizes are measured of encoders of entities, which {bundle.family} bundles have not.")
    if not asked:
        raise QueryError("no batch sizes given; expected at least one.")
    for size in asked:
        if size is not None and (
            isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= _LARGEST_BATCH
        ):
            raise QueryError(f"batch size {size!r}; expected a whole number from 1 to {_LARGEST_BATCH:,}.")
    return tuple(dict.fromkeys(asked))


def places(
    bundle: Bundle, modes: Sequence[SweepMode], counts: dict[Tokens, tuple[int, ...]], batches: Sequence[int | None]
) -> list[Place]:
    """Everything that is measured in a round, in order: the server mode needs the rate that "offline" finds."""
    task, found = bundle.config.task, []
    unit, size = asked_things(task), list_size(task)
    for mode in modes:
        if mode == "offline":
            found.append(Place(mode, unit, batch=size))
        elif mode == "server":
            found += [Place(mode, unit, batch=size, load=load) for load in LOADS]
        elif mode == "throughput":
            for curve in measuring(bundle.family).curves(bundle):
                for batch in batches:
                    found += [Place(mode, curve.unit, curve, count, batch) for count in counts[curve.tokens]]
        else:
            found.append(Place(mode))
    return found
