"""The formula of mmkg_query.h in float64, one question at a time, and weights of any size for it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .encoder import Arrays


def random_weights(rng: np.random.Generator, width: int, hidden: int, layers: int = 1, relations: int = 5) -> Arrays:
    """Weights of the graph by name, without a core; logits vary enough that every part of the formula counts."""

    def draw(*shape: int, scale: float = 1.0) -> NDArray[np.float32]:
        return (scale * rng.standard_normal(shape)).astype(np.float32)

    weights = {"known_slot": draw(2, width), "missing": draw(2, width), "relations": draw(relations, width)}
    for layer in range(layers):
        prefix = f"layers.{layer}."
        for name, inner, columns in (
            ("query", width, width),
            ("key", width, width),
            ("value", width, width),
            ("rest.output", width, width),
            ("rest.hidden", width, hidden),
            ("rest.feedforward", hidden, width),
        ):
            weights[f"{prefix}{name}.multiplied_weight"] = draw(inner, columns, scale=1.5 * inner**-0.5)
            weights[f"{prefix}{name}.bias"] = draw(columns)
        for norm in ("rest.norm1", "rest.norm2"):
            weights |= {
                f"{prefix}{norm}.weight": 1 + draw(width, scale=0.1),
                f"{prefix}{norm}.bias": draw(width, scale=0.1),
            }
    return weights


def random_questions(rng: np.random.Generator, size: int, entities: int, relations: int = 5) -> Arrays:
    """Inputs of the graph but for the table."""
    limits = {"entity": entities, "relation": relations, "direction": 2}
    return {name: rng.integers(0, limit, size) for name, limit in limits.items()}


def encoded(weights: Arrays, heads: int, table: NDArray[np.float32], questions: Arrays) -> NDArray[np.float64]:
    """Context and relation, float64 [2, batch, width]."""
    w = {name: array.astype(np.float64) for name, array in weights.items()}
    found = [
        _encoded_one(w, heads, table[entity].astype(np.float64), relation, direction)
        for entity, relation, direction in zip(
            *(questions[n] for n in ("entity", "relation", "direction")), strict=True
        )
    ]
    return np.array(found).reshape(len(found), 2, table.shape[1]).swapaxes(0, 1)


def _encoded_one(
    w: Arrays, heads: int, entity: NDArray[np.float64], relation: int, direction: int
) -> NDArray[np.float64]:
    x = np.stack([entity + w["known_slot"][direction], w["relations"][relation], w["missing"][direction]])
    width, layer = len(entity), 0

    def linear(x: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        product: NDArray[np.float64] = x @ w[f"layers.{layer}.{name}.multiplied_weight"]
        return product + w[f"layers.{layer}.{name}.bias"]

    def norm(x: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        centred = x - x.mean(axis=1, keepdims=True)
        unit = centred / np.sqrt(x.var(axis=1, keepdims=True) + 1e-5)
        return unit * w[f"layers.{layer}.{name}.weight"] + w[f"layers.{layer}.{name}.bias"]

    while f"layers.{layer}.query.bias" in w:
        query, key, value = linear(x, "query"), linear(x, "key"), linear(x, "value")
        attended = np.empty_like(x)
        for columns in np.split(np.arange(width), heads):
            logits = query[:, columns] @ key[:, columns].T / np.sqrt(len(columns))
            shares = np.exp(logits - logits.max(axis=1, keepdims=True))
            attended[:, columns] = shares / shares.sum(axis=1, keepdims=True) @ value[:, columns]
        x = norm(x + linear(attended, "rest.output"), "rest.norm1")
        x = norm(x + linear(np.maximum(linear(x, "rest.hidden"), 0), "rest.feedforward"), "rest.norm2")
        layer += 1
    return x[[2, 1]]
