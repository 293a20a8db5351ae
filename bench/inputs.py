"""What is measured on: random entities of a stated token count, random queries; all from a seed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mmkg_sdk.bundle import Bundle
from mmkg_sdk.entity_inputs import EntityBatch
from mmkg_sdk.errors import QueryError

# Pooled token, structural token, one visual and one text token.
MIN_TOKENS = 4


def random_entities(bundle: Bundle, token_count: int, count: int, seed: int) -> EntityBatch:
    """Entities with random tokens and no padding.

    Args:
        token_count: length of the sequence, at least 4: pooled and structural token, then visual and text tokens in
            equal number, one visual token more if the rest is odd.
        count: how many entities.
        seed: equal seeds give equal entities.

    Returns:
        EntityBatch; tokens are drawn from all codebook rows alike, structural embeddings from the bundle's.

    Raises:
        QueryError: a token count that is too small, or beyond what the graphs take.
    """
    check_token_counts(bundle, [token_count])
    text = (token_count - 2) // 2
    visual = token_count - 2 - text
    random = np.random.default_rng([seed, token_count])
    trained = bundle.inputs["structure"]
    return EntityBatch(
        {
            "structure": trained[random.integers(len(trained), size=count)],
            "visual_tokens": random.integers(bundle.config["visual_codebook_rows"], size=(count, visual)),
            "visual_mask": np.zeros((count, visual), dtype=bool),
            "text_tokens": random.integers(bundle.config["text_codebook_rows"], size=(count, text)),
            "text_mask": np.zeros((count, text), dtype=bool),
        }
    )


def random_queries(bundle: Bundle, count: int, seed: int) -> NDArray[np.int64]:
    """Random (head, relation) ids, int64 [count, 2]."""
    sizes = (len(bundle.entities), len(bundle.relations))
    return np.random.default_rng(seed).integers(sizes, size=(count, 2))


def check_token_counts(bundle: Bundle, token_counts: Sequence[int]) -> tuple[int, ...]:
    """The token counts in ascending order, each once.

    Raises:
        QueryError: none given, no whole number, below 4, or beyond the limits of the bundle's graphs.
    """
    axes = bundle.graphs["entity_encoder"]["axes"]
    # Tokens are split evenly, so the smaller limit counts for both.
    limit = 2 + 2 * min(axes[name][2] for name in ("visual_tokens", "text_tokens"))
    if not token_counts:
        raise QueryError("no token counts given; expected at least one, such as 4,8,14,32.")
    for count in token_counts:
        if isinstance(count, bool) or not isinstance(count, int) or not MIN_TOKENS <= count <= limit:
            raise QueryError(
                f"token count {count!r}; expected a whole number from {MIN_TOKENS} to {limit:,}: pooled and structural "
                "token, and at least one visual and one text token."
            )
    return tuple(sorted(set(token_counts)))
