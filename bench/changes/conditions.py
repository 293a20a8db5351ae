"""Condition: one change of what a bundle is given, and what came of it, by the items of the test split."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from mmkg_sdk.errors import QueryError

Part = Literal["frontier", "pictures", "robustness"]
PARTS: tuple[Part, ...] = get_args(Part)

# What of the entities, their images or texts that have a modality is changed.
SHARES = (0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Outcome:
    """What the evaluation found.

    Attributes:
        metrics: as the evaluation of the task gives them.
        items: float64 [items, sums]: of every test item what the metric is made of, see `Subject.value`.
    """

    metrics: Mapping[str, float]
    items: NDArray[np.float64]


@dataclass(frozen=True)
class Condition:
    """Attributes:
    change: what is changed, in words that all levels of it share.
    level: how much, in words.
    settings: the same for machines.
    seeds: with each of which it is made; one where nothing is left to chance.
    make: from a seed to what the subject is measured with.
    beside_anew: whether it is compared with `Plan.anew`, and not with the bundle as it is.
    """

    part: Part
    change: str
    level: str
    settings: Mapping[str, Any]
    seeds: Sequence[int]
    make: Callable[[int], Any]
    beside_anew: bool = False


@dataclass
class Plan:
    """Attributes:
    conditions: to be measured, in order.
    left_out: what cannot be, and why and what to do, in sentences.
    anew: one of them, where training moved what it was given: with the same pictures, but seen anew.
    same_work: whether all settings of the frontier are the same work to the encoder, which chance alone tells apart.
    """

    conditions: list[Condition]
    left_out: list[str]
    anew: Condition | None = None
    same_work: bool = False


class Subject(Protocol):
    """An opened bundle under measurement."""

    @property
    def metric(self) -> str:
        """The one that conditions are compared by, from 0 to 1, higher is better."""
        ...

    @property
    def items(self) -> str:
        """What the test split has of: triples, mentions, sentences."""
        ...

    @property
    def unit(self) -> str:
        """What `per_second` counts."""
        ...

    def measure(self, given: Any) -> Outcome:
        """With what a condition made; None is the bundle as it is."""
        ...

    def value(self, sums: NDArray[np.float64], count: int) -> NDArray[np.float64]:
        """The metric [...] from the sums [..., sums] over so many items."""
        ...

    def run_once(self, given: Any) -> int:
        """Encode what a condition made, for a clock to look at; how many there were."""
        ...


def chosen_parts(asked: Sequence[str] | None) -> tuple[Part, ...]:
    """Those that are asked for, in their order; None: all.

    Raises:
        QueryError: none, or an unknown one.
    """
    if asked is None:
        return PARTS
    if not asked or (unknown := [name for name in asked if name not in PARTS]):
        raise QueryError(f"parts are {', '.join(PARTS)}; {', '.join(unknown) if asked else 'none'} was asked for.")
    return tuple(part for part in PARTS if part in asked)
