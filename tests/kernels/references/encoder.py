"""The formula of mmkg_encoder.h in float64, one entity at a time, and weights of any size for it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]


def random_weights(
    rng: np.random.Generator, width: int, heads: int, hidden: int, visual_rows: int, text_rows: int
) -> Arrays:
    """Weights of the graph by name; norms and logits vary enough that every part of the formula counts."""

    def draw(*shape: int, scale: float = 1.0) -> NDArray[np.float32]:
        return (scale * rng.standard_normal(shape)).astype(np.float32)

    rows = visual_rows + text_rows
    weights = {
        "logit_weight": draw(width, heads, scale=width**-0.5),
        "logits": draw(rows, heads, scale=2.0),
        "multiplied_values": draw(rows, width),
        "value.multiplied_weight": draw(width, width, scale=width**-0.5),
        "value.bias": draw(width),
        "pooled": draw(1, width),
        "pooled_logits": draw(1, heads),
        "pooled_value": draw(1, width),
        "rest.output.multiplied_weight": draw(width, width, scale=width**-0.5),
        "rest.output.bias": draw(width),
        "rest.hidden.multiplied_weight": draw(width, hidden, scale=width**-0.5),
        "rest.hidden.bias": draw(hidden),
        "rest.feedforward.multiplied_weight": draw(hidden, width, scale=hidden**-0.5),
        "rest.feedforward.bias": draw(width),
        "structure.type_vector": draw(1, width),
        "head_of_column": np.repeat(np.eye(heads, dtype=np.float32), width // heads, axis=1),
    }
    for norm in ("structure.norm", "rest.norm1", "rest.norm2"):
        weights |= {f"{norm}.weight": 1 + draw(width, scale=0.1), f"{norm}.bias": draw(width, scale=0.1)}
    return weights


def random_batch(
    rng: np.random.Generator, size: int, width: int, visual: tuple[int, int], text: tuple[int, int], masked: float = 0.3
) -> Arrays:
    """Inputs of the graph: (codebook rows, tokens) of each modality, and the share of masked tokens."""
    batch: Arrays = {"structure": rng.standard_normal((size, width)).astype(np.float32)}
    for name, (rows, tokens) in (("visual", visual), ("text", text)):
        batch[f"{name}_tokens"] = rng.integers(0, max(rows, 1), (size, tokens))
        batch[f"{name}_mask"] = rng.random((size, tokens)) < masked
    return batch


def encoded(weights: Arrays, visual_rows: int, batch: Arrays) -> NDArray[np.float64]:
    """The vectors, float64 [batch, width]."""
    w = {name: array.astype(np.float64) for name, array in weights.items()}
    vectors = [
        _encoded_one(w, visual_rows, {name: array[i] for name, array in batch.items()})
        for i in range(len(batch["structure"]))
    ]
    return np.array(vectors).reshape(len(vectors), batch["structure"].shape[1])


def _encoded_one(w: Arrays, visual_rows: int, entity: Arrays) -> NDArray[np.float64]:
    visual = entity["visual_tokens"][~entity["visual_mask"]]
    text = entity["text_tokens"][~entity["text_mask"]]
    rows = np.concatenate([visual, text + visual_rows])
    structure = _norm(entity["structure"].astype(np.float64), w, "structure.norm") + w["structure.type_vector"].ravel()
    own_value = structure @ w["value.multiplied_weight"] + w["value.bias"]
    values = np.vstack([w["pooled_value"].reshape(1, -1), own_value, w["multiplied_values"][rows]])
    logits = np.vstack([w["pooled_logits"].reshape(1, -1), structure @ w["logit_weight"], w["logits"][rows]])
    heads = logits.shape[1]
    context = []
    for head, columns in enumerate(np.split(np.arange(len(structure)), heads)):
        shares = np.exp(logits[:, head] - logits[:, head].max())
        context.append(shares / shares.sum() @ values[:, columns])
    attended = np.concatenate(context) @ w["rest.output.multiplied_weight"] + w["rest.output.bias"]
    x = _norm(w["pooled"].ravel() + attended, w, "rest.norm1")
    hidden = np.maximum(x @ w["rest.hidden.multiplied_weight"] + w["rest.hidden.bias"], 0)
    deeper = hidden @ w["rest.feedforward.multiplied_weight"] + w["rest.feedforward.bias"]
    return _norm(x + deeper, w, "rest.norm2")


def _norm(x: NDArray[np.float64], w: Arrays, name: str) -> NDArray[np.float64]:
    return (x - x.mean()) / np.sqrt(x.var() + 1e-5) * w[f"{name}.weight"] + w[f"{name}.bias"]
