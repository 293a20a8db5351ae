"""Cell: one stage at one batch, and k or number of tokens; and which cells a bundle has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from mmkg_sdk.bundle import Bundle
from mmkg_sdk.errors import QueryError
from mmkg_sdk.registry import LINK_PREDICTION

from ..report.results import GpuMode
from ..sweep.counts import check_count, chosen_counts
from ..sweep.questions import asked_things

STAGES: tuple[GpuMode, ...] = get_args(GpuMode)
_LARGEST_BATCH = 1 << 16
# Whether what is asked are ids, rather than texts and images, of which a processor prepares thousands in minutes.
BATCHES = {True: (1, 32, 256, 2048), False: (1, 32)}
# What `predict_tails` gives at most.
_MOST_ANSWERS = 3840


@dataclass(frozen=True)
class Cell:
    """Attributes:
    k: answers per query; None where nothing is ranked.
    token_count: of each entity; None where none is encoded.
    unit: what is counted per second.
    """

    mode: GpuMode
    batch: int
    unit: str
    k: int | None = None
    token_count: int | None = None

    @property
    def tokens(self) -> int:
        """Of an entity, where entities are encoded."""
        assert self.token_count is not None
        return self.token_count

    @property
    def best(self) -> int:
        """Answers per query, where rows are ranked."""
        assert self.k is not None
        return self.k

    def __str__(self) -> str:
        sized = f", k={self.k}" if self.k else f", {self.token_count} tokens" if self.token_count else ""
        return f"{self.mode}, batch {self.batch:,}{sized}"


def cells_of(
    bundle: Bundle,
    stages: Sequence[str] | None,
    batches: Sequence[int] | None,
    best: Sequence[int],
    token_counts: Sequence[int] | None,
) -> list[Cell]:
    """What is measured of a bundle, the quickest to tell something first: scan, query, answer, encode.

    Args:
        stages: some of STAGES; None takes all that the bundle's task has.
        batches: None takes BATCHES.
        best: numbers of answers per query.
        token_counts: None takes the family's own.

    Raises:
        QueryError: a stage that this bundle has not, a number out of range, or nothing to measure.
    """
    task = bundle.config.task
    there = STAGES if task == LINK_PREDICTION else ("gpu-answer",)
    chosen = there if stages is None else tuple(dict.fromkeys(stages))
    for stage in chosen:
        if stage not in there:
            raise QueryError(f"stage {stage!r}; a bundle for {task} is measured in {', '.join(there)}.")
    batches = BATCHES[task == LINK_PREDICTION] if batches is None else batches
    for name, numbers, most in (("batch", batches, _LARGEST_BATCH), ("k", best, _MOST_ANSWERS)):
        if not numbers or any(isinstance(one, bool) or not 1 <= one <= most for one in numbers):
            raise QueryError(f"{name} is {list(numbers)}; expected whole numbers from 1 to {most:,}.")
    # A table with fewer rows has fewer answers: the same cell twice would say nothing.
    ranked = sorted({min(k, len(bundle.entities)) for k in best}) if task == LINK_PREDICTION else []
    found: list[Cell] = []
    for stage in (one for one in STAGES if one in chosen):
        for batch in sorted(set(batches)):
            if stage == "gpu-encode":
                counts = _counts(bundle, token_counts)
                found += [Cell("gpu-encode", batch, "entities", token_count=count) for count in counts]
            elif stage == "gpu-query":
                found.append(Cell("gpu-query", batch, "queries"))
            elif ranked:
                found += [Cell(stage, batch, "queries", k=k) for k in ranked]
            else:
                found.append(Cell(stage, batch, asked_things(task)))
    if not found:
        raise QueryError(f"nothing to measure; expected some of {', '.join(there)}.")
    return found


def _counts(bundle: Bundle, asked: Sequence[int] | None) -> tuple[int, ...]:
    if asked is None:
        return chosen_counts(bundle, {}).get("all", ())
    for count in asked:
        check_count(bundle, "all", count)
    return tuple(sorted(set(asked)))
