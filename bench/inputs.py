"""What is measured on: random entities of a stated token count, random queries; all from a seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mmkg_sdk.bundle import Bundle
from mmkg_sdk.entity_batch import EntityBatch
from mmkg_sdk.errors import QueryError
from mmkg_sdk.families import family_part


def random_entities(bundle: Bundle, token_count: int, count: int, seed: int) -> EntityBatch:
    """Entities with random tokens and no padding.

    Args:
        token_count: how many vectors the encoder mixes for one entity; the family's `random_entities` says how they
            are shared among the modalities.
        count: how many entities.
        seed: equal seeds give equal entities.

    Returns:
        EntityBatch.

    Raises:
        QueryError: a token count that is too small, or beyond what the graphs take.
    """
    check_token_counts(bundle, [token_count])
    random = np.random.default_rng([seed, token_count])
    batch: EntityBatch = family_part(bundle.family, "runtime").random_entities(bundle, token_count, count, random)
    return batch


def random_queries(bundle: Bundle, count: int, seed: int) -> NDArray[np.int64]:
    """Random (head, relation) ids, int64 [count, 2]."""
    sizes = (len(bundle.entities), len(bundle.relations))
    return np.random.default_rng(seed).integers(sizes, size=(count, 2))


def check_token_counts(bundle: Bundle, token_counts: Sequence[int]) -> tuple[int, ...]:
    """The token counts in ascending order, each once.

    Raises:
        QueryError: none given, no whole number, or beyond the limits of the bundle's graphs.
    """
    least, most = family_part(bundle.family, "runtime").token_limits(bundle)
    if not token_counts:
        raise QueryError(f"no token counts given; expected at least one, from {least} to {most:,}.")
    for count in token_counts:
        if isinstance(count, bool) or not isinstance(count, int) or not least <= count <= most:
            raise QueryError(
                f"token count {count!r}; this {bundle.family} bundle takes a whole number from {least} to {most:,}."
            )
    return tuple(sorted(set(token_counts)))
