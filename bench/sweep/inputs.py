"""Random entities of a stated token count, from a seed."""

from __future__ import annotations

import numpy as np

from mmkg_sdk.bundle import Bundle
from mmkg_sdk.families.entity_batch import EntityBatch
from mmkg_sdk.registry import family_part

from .curves import check_count


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
    check_count(bundle, "all", token_count)
    random = np.random.default_rng([seed, token_count])
    batch: EntityBatch = family_part(bundle.family, "runtime").random_entities(bundle, token_count, count, random)
    return batch
