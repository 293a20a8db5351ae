"""What the benchmark must know of AdaMF, in the names of ../measuring.py.

Fusion of a structural vector of w numbers with features of v numbers, of m modalities together: FLOP = 2 w v +
4 (m + 1) w.
A query is w / 2 complex products: FLOP = 3 w.
"""

from __future__ import annotations

import numpy as np

from ...bundle import Bundle
from ..entity_batch import EntityBatch
from ..measuring import KERNELS, Contender, Counts, Curve, EncoderWork, Tokens
from ..token_counts import any_count as count_problem
from ..token_counts import entity_counts, two_runtimes
from ..token_counts import no_entity_encoder as plain_encoder
from ..token_counts import not_resized as resized
from .compiled_query import absence as kernels_absence
from .config import AdaMFConfig
from .runtime import bundle_entities

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

QUICK_COUNTS: Counts = {"all": (3,)}


def curves(bundle: Bundle) -> tuple[Curve, ...]:
    """The fusion of an entity's vectors."""
    return (Curve("entity_encoder", "all", "entities"),)


def contenders(bundle: Bundle) -> tuple[Contender, ...]:
    """Two runtimes, and the compiled kernels, which answer; entities are encoded by the graph."""
    return *two_runtimes(bundle), Contender("compiled kernels", KERNELS, encodes=False)


def absence(bundle: Bundle, contender: Contender, device: str) -> str | None:
    """There are kernels for the CPU and some GPUs."""
    return kernels_absence(device) if contender.backend == KERNELS else None


def token_limits(bundle: Bundle, tokens: Tokens) -> tuple[int, int]:
    """An entity is always structure and all modalities."""
    count = AdaMFConfig.of(bundle.config).num_vectors
    return count, count


def default_counts(bundle: Bundle, tokens: Tokens) -> tuple[int, ...]:
    """The one there is."""
    return entity_counts(token_limits(bundle, tokens))


def random_entities(bundle: Bundle, token_count: int, count: int, random: np.random.Generator) -> EntityBatch:
    """Entities with the features of randomly chosen ones of the bundle; token_count is their number of vectors."""
    return EntityBatch(bundle_entities(bundle).rows(random.integers(len(bundle.table), size=count)), token_count)


def encoder_work(bundle: Bundle, graph: str, token_count: int, number_bytes: int) -> EncoderWork:
    """Of the fusion."""
    config = AdaMFConfig.of(bundle.config)
    width, features = config.table_width, sum(modality.feature_width for modality in config.modalities)
    # Structural vector in and vector out, features and masks, and the weights of the modalities out.
    entity = 2 * 4 * width + 4 * features + len(config.modalities) + 4 * config.num_vectors
    return EncoderWork(2 * width * features + 4 * config.num_vectors * width, entity, number_bytes * width * features)


def query_work(bundle: Bundle, number_bytes: int) -> EncoderWork:
    """Of the rotation: three ids; the rows of entity and relation in and the vector out, float32 in every precision."""
    width = AdaMFConfig.of(bundle.config).table_width
    return EncoderWork(3 * width, 3 * 8 + 3 * 4 * width, 0)
