"""What a measured thing costs at the least, and how near the machine's ceilings that puts a measured rate.

Floating point operations count a multiplication and an addition as two. Bytes are what must be read from memory at the
least: weights once for every batch, gathered rows and the entity's own inputs once, the result written once; what a
runtime reads again is not counted. The two ceilings give the least time of an item; the longer one is its bound.

MyGO's encoder of L layers, width d, feed-forward width f, s tokens (pooled and structural token among them), h heads:

    plain graph   FLOP = L s (8 d^2 + 4 d f + 4 s d)      projections, feed-forward, logits and weighted sums
    graph         FLOP = (L - 1) s (8 d^2 + 4 d f + 4 s d) + 4 s d^2 + 4 d^2 + 4 d f + 4 s d
                  keys and values of the last layer for every position, the rest of it for the pooled one
    token table   FLOP = 4 d^2 + 4 d f + 2 (s - 2) d + 2 d h      one layer, the pooled row only
                  value of the structural token and output projection, feed-forward, weighted sum of tabulated
                  values, logits of the structural token

The token-table graph on ONNX Runtime multiplies every head's weights with all d columns; the h times as many
operations of its weighted sum are that graph's own and not counted. AdaMF-MAT's fusion of a structural vector of w
numbers with visual and textual features of v and t: FLOP = 2 w (v + t) + 12 w.

Encoders of MIMIC and MKGformer are counted by torch's own counter over the exported module (sized_graphs.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from mmkg_sdk.bundle import Bundle

from .ceilings import Ceilings

Bound = Literal["arithmetic", "reading"]
# Precision of a bundle -> arithmetic whose ceiling it is held against.
_ARITHMETIC = {"fp32": "float32", "bf16": "bfloat16"}
_ITEM_BYTES = {"fp32": 4, "fp16": 2, "bf16": 2}


@dataclass(frozen=True)
class Work:
    """Of one item: an entity, a text, a query.

    Attributes:
        arithmetic: one of ceilings.ARITHMETIC.
    """

    flop: float
    bytes: float
    arithmetic: str


@dataclass(frozen=True)
class Share:
    """A measured rate beside the ceilings.

    Attributes:
        ceiling_per_second: items per second at the ceiling that binds; None where a ceiling is not known.
        percent: of that.
    """

    gflop_per_second: float
    gb_per_second: float
    ceiling_per_second: float | None
    percent: float | None
    bound: Bound | None


def share_of_ceiling(work: Work, per_second: float, ceilings: Ceilings) -> Share:
    """Where a rate of items stands."""
    done, read = work.flop * per_second / 1e9, work.bytes * per_second / 1e9
    multiplying, reading = ceilings.arithmetic[work.arithmetic].per_second, ceilings.read.per_second
    if not multiplying or not reading:
        return Share(done, read, None, None, None)
    seconds: dict[Bound, float] = {
        "arithmetic": work.flop / multiplying / 1e9,
        "reading": work.bytes / reading / 1e9,
    }
    bound = max(seconds, key=lambda name: seconds[name])
    least = seconds[bound]
    return Share(done, read, 1 / least, 100 * per_second * least, bound)


def arithmetic_of(bundle: Bundle) -> str | None:
    """The ceiling that a bundle's products are held against; None for float16, of which none is measured."""
    return _ARITHMETIC.get(bundle.precision)


def entity_work(bundle: Bundle, graph: str, token_count: int, batch: int) -> Work | None:
    """Of encoding one entity of a MyGO or AdaMF-MAT bundle; None where `arithmetic_of` is.

    Args:
        graph: "entity_encoder", or with "_plain" or "_token_table" behind it.
        batch: entities per run, which share its weights.
    """
    arithmetic = arithmetic_of(bundle)
    if arithmetic is None:
        return None
    of_family = _mygo if bundle.family == "mygo" else _adamf_mat
    flop, own_bytes, weight_bytes = of_family(bundle.config, graph, token_count, _ITEM_BYTES[bundle.precision])
    return Work(flop, own_bytes + weight_bytes / batch, arithmetic)


def _mygo(config: Any, graph: str, tokens: int, size: int) -> tuple[float, float, float]:
    """FLOP and bytes of an entity, and bytes of the weights."""
    width, hidden, heads = config.embedding_dim, config.feedforward_dim, config.num_heads
    layers, given = config.num_entity_layers, tokens - 2
    # Structural vector in and vector out, float32; a token's int64 row and its mask.
    own = 2 * 4 * width + 9 * given
    if graph.endswith("_token_table"):
        flop = 4 * width**2 + 4 * width * hidden + 2 * given * width + 2 * width * heads
        return flop, own + given * (size * width + 4 * heads), size * (2 * width**2 + 2 * width * hidden)
    layer = tokens * (8 * width**2 + 4 * width * hidden + 4 * tokens * width)
    last_layer = 4 * (tokens + 1) * width**2 + 4 * width * hidden + 4 * tokens * width
    flop = layers * layer if graph.endswith("_plain") else (layers - 1) * layer + last_layer
    return flop, own + given * size * width, layers * size * (4 * width**2 + 2 * width * hidden)


def _adamf_mat(config: Any, graph: str, tokens: int, size: int) -> tuple[float, float, float]:
    width, features = config.table_width, config.visual_feature_width + config.text_feature_width
    own = 2 * 4 * width + 4 * features + 2 + 4 * 3
    return 2 * width * features + 12 * width, own, size * width * features
