"""What the benchmark must know of MIMIC, in the names of ../measuring.py."""

from __future__ import annotations

from dataclasses import replace
from math import isqrt

from ...bundle import Bundle
from ..measuring import Counts, Curve, Resized, Tokens
from ..token_counts import always_there as absence
from ..token_counts import no_entity_encoder as encoder_work
from ..token_counts import no_entity_encoder as plain_encoder
from ..token_counts import no_entity_encoder as random_entities
from ..token_counts import of_texts as query_work
from ..token_counts import sequence_counts
from ..token_counts import sequence_limits as token_limits
from ..token_counts import two_runtimes as contenders
from .config import MimicConfig

__all__ = [
    "QUICK_COUNTS",
    "absence",
    "contenders",
    "count_problem",
    "curves",
    "default_counts",
    "encoder_work",
    "plain_encoder",
    "query_work",
    "random_entities",
    "resized",
    "token_limits",
]

# Each takes a second apiece, because a graph is made for each.
QUICK_COUNTS: Counts = {"text": (8, 28), "visual": (5, 17)}


def curves(bundle: Bundle) -> tuple[Curve, ...]:
    """Both towers, and the scoring of pairs."""
    return (
        Curve("text_encoder", "text", "texts"),
        Curve("image_encoder", "visual", "images"),
        # What stands for an image in a pair has no patches any more.
        Curve("interaction", "text", "pairs"),
    )


def default_counts(bundle: Bundle, tokens: Tokens) -> tuple[int, ...]:
    """Those of the published models and around, and the bundle's own."""
    config = MimicConfig.of(bundle.config)
    return sequence_counts(tokens, config.text_length if tokens == "text" else config.num_image_tokens)


def count_problem(tokens: Tokens, count: int) -> str | None:
    """An image is a square of patches."""
    if tokens != "visual" or isqrt(count - 1) ** 2 == count - 1:
        return None
    return f"{count} visual tokens are no image: a square of patches and one token more, such as 5, 10, 17, 50."


def resized(bundle: Bundle, tokens: Tokens, count: int) -> Resized:
    """Longer texts, or larger images."""
    config = MimicConfig.of(bundle.config)
    if tokens == "text":
        return Resized(replace(config, text_length=count, text_positions=max(count, config.text_positions)))
    return Resized(replace(config, image_size=isqrt(count - 1) * config.patch_size))
