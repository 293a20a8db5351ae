"""What the benchmark must know of MKGformer, in the names of ../measuring.py."""

from __future__ import annotations

from dataclasses import replace

from ...bundle import Bundle
from ...registry import LINK_PREDICTION
from ..measuring import Counts, Curve, Resized, Tokens
from ..token_counts import always_there as absence
from ..token_counts import any_count as count_problem
from ..token_counts import no_entity_encoder as encoder_work
from ..token_counts import no_entity_encoder as plain_encoder
from ..token_counts import no_entity_encoder as random_entities
from ..token_counts import of_texts as query_work
from ..token_counts import sequence_counts
from ..token_counts import sequence_limits as token_limits
from ..token_counts import two_runtimes as contenders
from .config import MKGformerConfig

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
QUICK_COUNTS: Counts = {"text": (8, 32), "visual": (5, 17)}


def curves(bundle: Bundle) -> tuple[Curve, ...]:
    """A query against the length of its text, and against the state of its images."""
    query = bundle.contents.graphs[0]
    unit = "queries" if bundle.config.task == LINK_PREDICTION else "sentences"
    return Curve(query, "text", unit), Curve(query, "visual", unit)


def default_counts(bundle: Bundle, tokens: Tokens) -> tuple[int, ...]:
    """Those of the published models and around, and the bundle's own."""
    config = MKGformerConfig.of(bundle.config)
    return sequence_counts(tokens, config.max_length if tokens == "text" else config.visual_tokens)


def resized(bundle: Bundle, tokens: Tokens, count: int) -> Resized:
    """Longer texts; the graphs of queries take any state of the images, so that is another input only."""
    config = MKGformerConfig.of(bundle.config)
    if tokens == "visual":
        return Resized(config, axes={"text_tokens": config.max_length}, lengths={"image_state": count})
    longer = replace(config, max_length=count, num_positions=max(count, config.num_positions))
    return Resized(longer, axes={"text_tokens": count})
