"""What the units of MIMIC say of one mention and one entity, part by part.

In numpy, from the pieces of both sides and the weights of the bundle's graphs. The formulas are those of pairs.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...backends.compiled import as_float32
from ...bundle import Bundle
from ...files.tensors import tensors_in
from ..explained import PairExplanation
from .config import NORM_EPS, MimicConfig

Array = NDArray[np.float64]
Pieces = Mapping[str, NDArray[Any]]
# Parts of each unit; a unit is the mean of its parts, and the score the mean of the units.
TEXT_GLOBAL, TEXT_LOCAL = "text_global", "text_local"
BY_ENTITY, BY_MENTION, IMAGE_TEXT = "image_by_entity", "image_by_mention", "image_text"


def explained_pair(
    bundle: Bundle, mention: Pieces, entity: Pieces, image_tokens: NDArray[np.float32] | None
) -> PairExplanation:
    """The parts of a pair's score, and where in the mention's image they come from.

    Args:
        mention, entity: what each side brings, by name: one row of each of its pieces.
        image_tokens: of the mention's image, as the image encoder gives them, [1 + places, image_feature_dim]; None
            where it has no image.
    """
    config = MimicConfig.of(bundle.config)
    own = {name: np.asarray(piece, np.float64) for name, piece in (*mention.items(), *entity.items())}
    weights = {
        name: as_float32(array)
        for graph in ("mention_side", "interaction")
        for name, array in tensors_in(bundle.files["weights.safetensors"], f"{graph}.").items()
    }
    by_entity, to_places = _dual(weights, "interaction.by_entity", own["mention_dual_key"], own["entity_dual_query"])
    by_mention, _ = _dual(weights, "interaction.by_mention", own["entity_dual_key"], own["mention_dual_query"])
    parts: dict[str, Any] = {
        TEXT_GLOBAL: own["mention_text"] @ own["entity_text"],
        TEXT_LOCAL: _local(weights, own),
        BY_ENTITY: by_entity,
        BY_MENTION: by_mention,
        IMAGE_TEXT: own["mention_fused"] @ own["entity_fused"],
    }
    values = {name: float(part) for name, part in parts.items()}
    if image_tokens is None:
        return PairExplanation(values, {})
    tokens = _norm(weights, "mention_side.norms.image_tokens", image_tokens.astype(np.float64))
    patches = _linear(weights, "mention_side.dual_key.patches", tokens)
    matched = _linear(weights, "mention_side.dual_key.mapped", patches) @ to_places / len(tokens)
    text = _linear(weights, "mention_side.fused.text", own["mention_text"])
    attended = _softmax(tokens @ (text @ weights["mention_side.fused.to_patches"]))
    side = config.image_size // config.patch_size
    # The first token is the class token, which has no place.
    grids = {"matched": matched[1:].reshape(side, side), "attended": attended[1:].reshape(side, side)}
    return PairExplanation(values, {name: grid.astype(np.float32) for name, grid in grids.items()})


def _local(weights: Pieces, own: Mapping[str, Array]) -> float:
    """TGLU's local score: what the entity's tokens find in the mention's."""
    attention = _softmax(own["entity_queries"] @ own["mention_keys"].T).mean(axis=0)
    context = _norm(weights, "interaction.context_norm", attention @ own["mention_values"])
    return float(context @ own["entity_cls"])


def _dual(weights: Pieces, name: str, key: Array, query: Array) -> tuple[float, Array]:
    """One direction of VDLU, and the vector by which its patches, mapped, add to it.

    The score is a constant plus the mean over patches of their product with that vector, if the scales of the two norms
    and the gate are taken as they are for this pair.
    """
    of_key, of_query = weights[f"{name}.of_key"], weights[f"{name}.of_query"]
    (z, a, k), (q, c, h) = key, query
    w = h * weights[f"{name}.scale"]
    gate_z, context_a, context_k = key.reshape(-1) @ of_key
    gate_q, context_c, context_w, shift = query.reshape(-1) @ of_query
    r = 1 / np.sqrt((z + q) @ (z + q) + NORM_EPS)
    t = np.tanh(r * (gate_z + gate_q) + weights[f"{name}.gate_offset"])
    s = t * r
    inner = s * ((a + c) @ w) + t * context_w + k @ w
    square = (s * (a + c) + k) @ (s * (a + c) + k) + t * (2 * s * (context_a + context_c) + context_k)
    length = np.sqrt(square + t * t * weights[f"{name}.context_square"] + NORM_EPS)
    return float(inner / length + shift), s * w / length


def _linear(weights: Pieces, name: str, x: Array) -> Array:
    product: Array = x @ weights[f"{name}.multiplied_weight"].astype(np.float64) + weights[f"{name}.bias"]
    return product


def _norm(weights: Pieces, name: str, x: Array) -> Array:
    centred = x - x.mean(axis=-1, keepdims=True)
    deviation = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + NORM_EPS)
    normed: Array = centred / deviation * weights[f"{name}.weight"] + weights[f"{name}.bias"]
    return normed


def _softmax(logits: Array) -> Array:
    """Over the last axis."""
    raised = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shares: Array = raised / raised.sum(axis=-1, keepdims=True)
    return shares
