"""What the benchmark must know of MyGO, in the names of ../measuring.py.

The encoder of L layers, width d, feed-forward width f, s tokens (pooled and structural token among them), h heads:

    plain graph   FLOP = L s (8 d^2 + 4 d f + 4 s d)      projections, feed-forward, logits and weighted sums
    graph         FLOP = (L - 1) s (8 d^2 + 4 d f + 4 s d) + 4 s d^2 + 4 d^2 + 4 d f + 4 s d
                  keys and values of the last layer for every position, the rest of it for the pooled one
    token table   FLOP = 4 d^2 + 4 d f + 2 (s - 2) d + 2 d h      one layer, the pooled row only
                  value of the structural token and output projection, feed-forward, weighted sum of tabulated
                  values, logits of the structural token

A query is three tokens of which the last layer runs for two, and the Tucker product of both:

    query         FLOP = (L - 1) (24 d^2 + 12 d f + 36 d) + 20 d^2 + 8 d f + 24 d, and 2 d^3 + 4 d^2 of the product

The token-table graph on ONNX Runtime multiplies every head's weights with all d columns; the h times as many
operations of its weighted sum are that graph's own and not counted.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...bundle import Bundle
from ..entity_batch import EntityBatch
from ..measuring import KERNELS, PLAIN, TOKEN_TABLE, Contender, Counts, Curve, EncoderWork, Tokens
from ..token_counts import ONNXRUNTIME, TORCH, entity_counts
from ..token_counts import any_count as count_problem
from ..token_counts import not_resized as resized
from .compiled_encoder import TOKEN_TABLE_GRAPH
from .compiled_encoder import absence as kernels_absence
from .config import MyGOConfig
from .runtime import most_tokens

if TYPE_CHECKING:
    from torch import nn

    from ...bundle.graph_specs import GraphSpec

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

QUICK_COUNTS: Counts = {"all": (4, 8, 18, 34, 66)}

_CONTENDERS = (
    Contender("torch, plain", "torch", PLAIN, answers=False),
    Contender("ONNX Runtime, plain", "onnxruntime", PLAIN, answers=False, is_reference=True),
    TORCH,
    replace(ONNXRUNTIME, is_reference=False),
    Contender("torch, token table", "torch", TOKEN_TABLE, answers=False),
    Contender("ONNX Runtime, token table", "onnxruntime", TOKEN_TABLE, answers=False),
    Contender("compiled kernels", KERNELS, TOKEN_TABLE),
)


def curves(bundle: Bundle) -> tuple[Curve, ...]:
    """The encoder of entities."""
    return (Curve("entity_encoder", "all", "entities"),)


def contenders(bundle: Bundle) -> tuple[Contender, ...]:
    """Two runtimes with each form of the encoder, and the compiled kernels; the published one in ONNX Runtime is the
    reference."""
    return _CONTENDERS


def absence(bundle: Bundle, contender: Contender, device: str) -> str | None:
    """The token table is exact for one layer only, and there are kernels for the CPU and some GPUs."""
    if contender.rewrite == TOKEN_TABLE and TOKEN_TABLE_GRAPH not in bundle.graphs:
        return f"this bundle has no graph {TOKEN_TABLE_GRAPH}: it is exact for one entity encoder layer only"
    if contender.backend != KERNELS:
        return None
    return kernels_absence(bundle, device)


def token_limits(bundle: Bundle, tokens: Tokens) -> tuple[int, int]:
    """The shortest and longest sequence of an entity with equally many tokens of every modality.

    Counted are the pooled token, the structural token, and the tokens of all modalities.
    """
    names = [modality.name for modality in MyGOConfig.of(bundle.config).modalities]
    return 2 + len(names), 2 + len(names) * min(most_tokens(name, bundle) for name in names)


def default_counts(bundle: Bundle, tokens: Tokens) -> tuple[int, ...]:
    """As far as the graphs go."""
    return entity_counts(token_limits(bundle, tokens))


def random_entities(bundle: Bundle, token_count: int, count: int, random: np.random.Generator) -> EntityBatch:
    """Entities with random tokens and no padding.

    Args:
        token_count: length of the sequence; besides pooled and structural token, tokens of every modality in equal
            number, one more of the first ones for what is left.
    """
    modalities = MyGOConfig.of(bundle.config).modalities
    each, left = divmod(token_count - 2, len(modalities))
    trained = bundle.inputs["structure"]
    arrays: dict[str, NDArray[Any]] = {"structure": trained[random.integers(len(trained), size=count)]}
    for place, modality in enumerate(modalities):
        shape = (count, each + (place < left))
        arrays[f"{modality.name}_tokens"] = random.integers(modality.codebook_rows, size=shape)
        arrays[f"{modality.name}_mask"] = np.zeros(shape, dtype=bool)
    return EntityBatch(arrays, token_count)


def encoder_work(bundle: Bundle, graph: str, token_count: int, number_bytes: int) -> EncoderWork:
    """By the formulas above."""
    config = MyGOConfig.of(bundle.config)
    width, hidden, heads = config.embedding_dim, config.feedforward_dim, config.num_heads
    layers, given = config.num_entity_layers, token_count - 2
    # Structural vector in and vector out, float32; a token's int64 row and its mask.
    own = 2 * 4 * width + 9 * given
    if graph.endswith(TOKEN_TABLE):
        flop = 4 * width**2 + 4 * width * hidden + 2 * given * width + 2 * width * heads
        weights = number_bytes * (2 * width**2 + 2 * width * hidden)
        return EncoderWork(flop, own + given * (number_bytes * width + 4 * heads), weights)
    layer = token_count * (8 * width**2 + 4 * width * hidden + 4 * token_count * width)
    last_layer = 4 * (token_count + 1) * width**2 + 4 * width * hidden + 4 * token_count * width
    flop = layers * layer if graph.endswith(PLAIN) else (layers - 1) * layer + last_layer
    weights = layers * number_bytes * (4 * width**2 + 2 * width * hidden)
    return EncoderWork(flop, own + given * number_bytes * width, weights)


def query_work(bundle: Bundle, number_bytes: int) -> EncoderWork:
    """By the formulas above."""
    config = MyGOConfig.of(bundle.config)
    width, hidden, layers = config.embedding_dim, config.feedforward_dim, config.num_decoder_layers
    flop = (layers - 1) * (24 * width**2 + 12 * width * hidden + 36 * width)
    flop += 20 * width**2 + 8 * width * hidden + 24 * width
    weights = layers * (4 * width**2 + 2 * width * hidden)
    if config.score_function == "tucker":
        flop += 2 * width**3 + 4 * width**2
        weights += width**3 + width**2
    # Three ids; the rows of entity and relation in and the vector out, float32.
    return EncoderWork(flop, 3 * 8 + 3 * 4 * width, number_bytes * weights)


def plain_encoder(bundle: Bundle) -> tuple[nn.Module, GraphSpec]:
    """Every layer for every position, with the bundle's own weights: what the authors' model exports as."""
    from .plain_encoder import read_plain_encoder

    return read_plain_encoder(bundle)
