"""The formula of mmkg_link.h in float64, one pair at a time, and pieces and weights of any size for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Sizes:
    length: int = 6
    text_unit: int = 8
    text: int = 12
    image_unit: int = 10
    fused: int = 9

    @property
    def mention(self) -> dict[str, tuple[int, ...]]:
        return {
            "mention_keys": (self.length, self.text_unit),
            "mention_values": (self.length, self.text_unit),
            "mention_text": (self.text,),
            "mention_dual_key": (3, self.image_unit),
            "mention_dual_query": (3, self.image_unit),
            "mention_fused": (self.fused,),
        }

    @property
    def entity(self) -> dict[str, tuple[int, ...]]:
        return {
            "entity_queries": (self.length, self.text_unit),
            "entity_cls": (self.text_unit,),
            "entity_text": (self.text,),
            "entity_dual_query": (3, self.image_unit),
            "entity_dual_key": (3, self.image_unit),
            "entity_fused": (self.fused,),
        }


def random_weights(rng: np.random.Generator, sizes: Sizes) -> Arrays:
    """Weights of the graph by name."""
    weights: Arrays = {"context_norm.weight": 1 + _draw(rng, sizes.text_unit, scale=0.1)}
    weights["context_norm.bias"] = _draw(rng, sizes.text_unit, scale=0.1)
    d = sizes.image_unit
    for side in ("by_entity", "by_mention"):
        to_gate, context, shift = (_draw(rng, d) for _ in range(3))
        scale = 1 + _draw(rng, d, scale=0.2)
        of_key, of_query = np.zeros((3 * d, 3), np.float32), np.zeros((3 * d, 4), np.float32)
        of_key[:d, 0], of_key[d : 2 * d, 1], of_key[2 * d :, 2] = to_gate, context, 2 * context
        of_query[:d, 0], of_query[d : 2 * d, 1] = to_gate, context
        of_query[2 * d :, 2], of_query[2 * d :, 3] = scale * context, shift
        weights |= {f"{side}.of_key": of_key, f"{side}.of_query": of_query, f"{side}.scale": scale}
        weights[f"{side}.gate_offset"] = np.float32(rng.standard_normal())[()] * np.ones((), np.float32)
        weights[f"{side}.context_square"] = np.asarray(context @ context, np.float32)
    return weights


def random_pieces(rng: np.random.Generator, shapes: Mapping[str, tuple[int, ...]], count: int) -> Arrays:
    """Pieces of mentions or entities, float32. Queries and values have means that count."""
    found = {name: _draw(rng, count, *shape) for name, shape in shapes.items()}
    for name, piece in found.items():
        if name.endswith(("_queries", "_keys", "_values")):
            piece += _draw(rng, 1, 1, piece.shape[2]) + _draw(rng, count, 1, 1)
        if name.endswith(("mention_keys", "_dual_key", "_dual_query")):
            piece *= np.float32(piece.shape[2] ** -0.5)
    return found


def scores(weights: Arrays, mentions: Arrays, entities: Arrays) -> NDArray[np.float64]:
    """float64 [3, mentions, entities]."""
    w = {name: array.astype(np.float64) for name, array in weights.items()}
    m = {name.removeprefix("mention_"): array.astype(np.float64) for name, array in mentions.items()}
    e = {name.removeprefix("entity_"): array.astype(np.float64) for name, array in entities.items()}
    found = np.empty((3, len(m["text"]), len(e["text"])))
    for i in range(found.shape[1]):
        for j in range(found.shape[2]):
            found[:, i, j] = _pair(w, {k: a[i] for k, a in m.items()}, {k: a[j] for k, a in e.items()})
    return found


def _pair(w: Arrays, m: Arrays, e: Arrays) -> tuple[float, float, float]:
    logits = e["queries"] @ m["keys"].T
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    context = (shares / shares.sum(axis=1, keepdims=True)).mean(axis=0) @ m["values"]
    normed = (context - context.mean()) / np.sqrt(context.var() + 1e-5)
    local = e["cls"] @ (normed * w["context_norm.weight"] + w["context_norm.bias"])
    by_entity = _dual(w, "by_entity", m["dual_key"], e["dual_query"])
    by_mention = _dual(w, "by_mention", e["dual_key"], m["dual_query"])
    return (local + m["text"] @ e["text"]) / 2, (by_entity + by_mention) / 2, m["fused"] @ e["fused"]


def _dual(w: Arrays, side: str, key: NDArray[np.float64], query: NDArray[np.float64]) -> float:
    (z, a, k), (q, c, h), d = key, query, key.shape[1]
    to_gate, context = w[f"{side}.of_key"][:d, 0], w[f"{side}.of_key"][d : 2 * d, 1]
    r = 1 / np.sqrt((z + q) @ (z + q) + 1e-5)
    t = np.tanh(r * (to_gate @ (z + q)) + w[f"{side}.gate_offset"])
    x = t * r * (a + c) + t * context + k
    shift = w[f"{side}.of_query"][2 * d :, 3]
    return float(x @ (h * w[f"{side}.scale"]) / np.sqrt(x @ x + 1e-5) + shift @ h)


def image_roundings(weights: Arrays, mentions: Arrays, entities: Arrays) -> NDArray[np.float64]:
    """How far one rounding in each part of the image score may move it, float64 [mentions, entities].

    The kernel takes |z + q|^2 and |x|^2 as sums of products of their parts, so that no tensor is larger than the
    scores. Where the parts nearly cancel, the parts' roundings are left beside a small sum. To first order, with norms
    for the products' sums; in units of 2^-24.
    """
    w = {name: array.astype(np.float64) for name, array in weights.items()}
    m, e = (
        {name: array.astype(np.float64) for name, array in side.items() if "_dual_" in name}
        for side in (mentions, entities)
    )
    found = np.empty((len(m["mention_dual_key"]), len(e["entity_dual_key"])))
    for i, j in np.ndindex(found.shape):
        by_entity = _dual_roundings(w, "by_entity", m["mention_dual_key"][i], e["entity_dual_query"][j])
        by_mention = _dual_roundings(w, "by_mention", e["entity_dual_key"][j], m["mention_dual_query"][i])
        found[i, j] = (by_entity + by_mention) / 2
    return found


def _dual_roundings(w: Arrays, side: str, key: NDArray[np.float64], query: NDArray[np.float64]) -> float:
    (z, a, k), (q, c, h), d = key, query, key.shape[1]
    size = np.linalg.norm
    to_gate, context = w[f"{side}.of_key"][:d, 0], w[f"{side}.of_key"][d : 2 * d, 1]
    offset, mapped, shift = w[f"{side}.gate_offset"], h * w[f"{side}.scale"], w[f"{side}.of_query"][2 * d :, 3]
    r = 1 / np.sqrt((z + q) @ (z + q) + 1e-5)
    parts = (size(z) + size(q)) * r
    of_r = parts**2 / 2  # relative
    gate = r * (to_gate @ (z + q))
    t = np.tanh(gate + offset)
    of_t = (1 - t * t) * (size(to_gate) * parts + abs(gate) * of_r + abs(offset)) + abs(t)
    of_s = r * (of_t + abs(t) * of_r)  # s = t * r
    x = t * r * (a + c) + t * context + k
    inverse = 1 / np.sqrt(x @ x + 1e-5)
    terms = abs(t) * r * (size(a) + size(c)) + abs(t) * size(context) + size(k)
    of_inner = of_t * abs(context @ mapped) + of_s * abs((a + c) @ mapped) + terms * size(mapped)
    of_square = terms**2 + 2 * size(x) * (of_t * size(context) + of_s * size(a + c))
    return float(inverse * of_inner + abs(x @ mapped) * inverse**3 * of_square / 2 + size(shift) * size(h))


def _draw(rng: np.random.Generator, *shape: int, scale: float = 1.0) -> NDArray[np.float32]:
    return (scale * rng.standard_normal(shape)).astype(np.float32)
