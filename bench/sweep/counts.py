"""How many tokens a bundle is measured at, and random entities of so many."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from mmkg_sdk.bundle import Bundle
from mmkg_sdk.errors import QueryError
from mmkg_sdk.families.entity_batch import EntityBatch
from mmkg_sdk.families.measuring import Counts, Tokens, measuring

from ..report.results import axis_name


def chosen_counts(bundle: Bundle, asked: Counts) -> dict[Tokens, tuple[int, ...]]:
    """The token counts to measure by kind, ascending, each once; kinds that are not named get the family's own.

    Raises:
        QueryError: a kind that the bundle has no curve of, no counts, or a count that cannot be.
    """
    family = measuring(bundle.family)
    kinds = dict.fromkeys(curve.tokens for curve in family.curves(bundle))
    for kind in asked:
        if kind not in kinds:
            raise QueryError(
                f"{bundle.family} bundles are measured by numbers of {_words(kinds)}; counts of {_words([kind])} were "
                "given."
            )
    counts = {
        kind: tuple(asked[kind] or ()) if kind in asked else family.default_counts(bundle, kind) for kind in kinds
    }
    for kind, numbers in counts.items():
        if not numbers:
            raise QueryError(f"no numbers of {_words([kind])} given; expected at least one.")
        for number in numbers:
            check_count(bundle, kind, number)
    return {kind: tuple(sorted(set(numbers))) for kind, numbers in counts.items()}


def check_count(bundle: Bundle, tokens: Tokens, count: Any) -> None:
    """Whether there can be so many tokens.

    Raises:
        QueryError: there cannot.
    """
    family = measuring(bundle.family)
    least, most = family.token_limits(bundle, tokens)
    if isinstance(count, bool) or not isinstance(count, int) or not least <= count <= most:
        raise QueryError(
            f"token count {count!r}; this {bundle.family} bundle takes a whole number from {least} to {most:,}."
        )
    if problem := family.count_problem(tokens, count):
        raise QueryError(problem)


def random_entities(bundle: Bundle, token_count: int, count: int, seed: int) -> EntityBatch:
    """Entities with random tokens and no padding.

    Args:
        token_count: how many vectors the encoder mixes for one entity; the family's `random_entities` says how they
            are shared among the modalities.
        count: how many entities.
        seed: equal seeds give equal entities.

    Raises:
        QueryError: a token count that is too small, or beyond what the graphs take.
    """
    check_count(bundle, "all", token_count)
    random = np.random.default_rng([seed, token_count])
    return measuring(bundle.family).random_entities(bundle, token_count, count, random)


def _words(kinds: Iterable[Tokens]) -> str:
    return " and ".join(axis_name(kind) for kind in kinds)
