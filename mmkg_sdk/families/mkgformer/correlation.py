"""What each word piece finds in the images: the weights of the correlation-aware fusion (CAF), from a bundle.

In numpy, from the weights of the graph that answers; the formulas are those of towers.py. Only the fused layers see the
images, but what asks them has gone through all layers below, so the text tower runs once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...backends.compiled import as_float32
from ...bundle import Bundle
from ...files.tensors import tensors_in
from ...registry import LINK_PREDICTION
from .config import MKGformerConfig

Array = NDArray[np.float32]
Weights = Mapping[str, NDArray[Any]]
# The authors' values, as in encoder.py.
_PADDING_BIAS, _TEXT_EPS, _VISION_EPS = -10000.0, 1e-12, 1e-5
_STEP, _REACH = 2.0**-11, 4


def text_image_weights(bundle: Bundle, texts: Mapping[str, NDArray[np.int64]], image_state: Array) -> Array:
    """The weights of CAF, float32 [fused layers, text length, visual tokens]; each row adds up to 1.

    Args:
        texts: input_ids, attention_mask and token_type_ids of one sentence, int64 [max_length]; link prediction has no
            types, and any length.
        image_state: of its images, [visual tokens, width].
    """
    config = MKGformerConfig.of(bundle.config)
    prefix = f"{bundle.contents.graphs[0]}.towers."
    stored = tensors_in(bundle.files["weights.safetensors"], prefix)
    weights = {name.removeprefix(prefix): array for name, array in stored.items()}
    words = as_float32(weights["embeddings.multiplied_words"][texts["input_ids"]])
    summed = words + weights["embeddings.positions"][: len(words)]
    if "embeddings.types" in weights:
        summed = summed + weights["embeddings.types"][texts["token_type_ids"]]
    text = _norm(weights, "embeddings.norm", summed, _TEXT_EPS)
    bias = ((1 - texts["attention_mask"]) * _PADDING_BIAS).astype(np.float32)
    vision, before = image_state, None
    found = []
    for number in range(config.num_layers):
        name, heads, fused = f"text_layers.{number}", config.num_heads, number >= config.fusion_start_layer
        if fused:
            above = f"vision_layers.{number - config.fusion_start_layer}"
            vision = _vision_layer(weights, above, vision, before, bias if config.mask_prefix else None, heads)
        before = _keys_and_values(weights, name, text, heads)
        context = _attend(weights, name, text, *before, bias)
        attended = _norm(weights, f"{name}.norm1", text + _linear(weights, f"{name}.output", context), _TEXT_EPS)
        hidden = _linear(weights, f"{name}.hidden", attended)
        if fused:
            found.append(_softmax(context @ vision.T))
            hidden = hidden + _linear(weights, f"{name}.fusion", found[-1] @ vision)
        text = _norm(
            weights, f"{name}.norm2", attended + _linear(weights, f"{name}.feedforward", _gelu(hidden)), _TEXT_EPS
        )
    shape = (0, len(words), len(image_state))
    return np.stack(found).astype(np.float32) if found else np.empty(shape, np.float32)


def places_of(weights: Array, config: MKGformerConfig) -> dict[str, Array]:
    """The same by place: "aux" and "rcnn", float32 [fused layers, pieces, images, rows, columns].

    In link prediction "main", too, whose one image comes first; else the class token does, which is in none.
    """
    found, start = {}, 1
    groups: dict[str, tuple[int | None, int]] = {}
    if config.task == LINK_PREDICTION:
        groups["main"], start = (1, config.image_size), 0
    groups["aux"] = (config.num_aux_images, config.aux_image_size)
    groups["rcnn"] = (config.num_rcnn_images, config.rcnn_image_size)
    for name, (count, size) in groups.items():
        shape = (count or 0, size // config.patch_size, size // config.patch_size)
        end = start + math.prod(shape)
        found[name] = weights[:, :, start:end].reshape(*weights.shape[:2], *shape)
        start = end
    return found


def _vision_layer(
    weights: Weights, name: str, vision: Array, before: tuple[Array, Array] | None, bias: Array | None, heads: int
) -> Array:
    """One vision layer, which also looks at keys and values of the text layer below (PGI)."""
    x = _norm(weights, f"{name}.norm1", vision, _VISION_EPS)
    key, value = _keys_and_values(weights, name, x, heads)
    added = np.zeros(len(x), np.float32)
    if before is not None:
        key, value = np.concatenate([before[0], key], axis=1), np.concatenate([before[1], value], axis=1)
        added = np.concatenate([np.zeros(before[0].shape[1], np.float32) if bias is None else bias, added])
    vision = vision + _linear(weights, f"{name}.output", _attend(weights, name, x, key, value, added))
    hidden = _linear(weights, f"{name}.hidden", _norm(weights, f"{name}.norm2", vision, _VISION_EPS))
    quick = hidden / (1 + np.exp(-1.702 * hidden))
    result: Array = vision + _linear(weights, f"{name}.feedforward", quick)
    return result


def _keys_and_values(weights: Weights, name: str, x: Array, heads: int) -> tuple[Array, Array]:
    """[heads, positions, width / heads] each."""
    key, value = np.split(_linear(weights, f"{name}.attention.key_value", x), 2, axis=1)
    return _split(key, heads), _split(value, heads)


def _attend(weights: Weights, name: str, x: Array, key: Array, value: Array, bias: Array) -> Array:
    """[positions, width]; queries were scaled when the bundle was made."""
    query = _split(_linear(weights, f"{name}.attention.query", x), len(key))
    attended = _softmax(query @ key.transpose(0, 2, 1) + bias) @ value
    merged: Array = attended.transpose(1, 0, 2).reshape(x.shape)
    return merged


def _split(x: Array, heads: int) -> Array:
    return x.reshape(len(x), heads, -1).transpose(1, 0, 2)


def _linear(weights: Weights, name: str, x: Array) -> Array:
    product: Array = x @ as_float32(weights[f"{name}.multiplied_weight"]) + weights[f"{name}.bias"]
    return product


def _norm(weights: Weights, name: str, x: Array, epsilon: float) -> Array:
    centred = x - x.mean(axis=-1, keepdims=True)
    deviation = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + epsilon)
    normed: Array = centred / deviation * weights[f"{name}.weight"] + weights[f"{name}.bias"]
    return normed


def _gelu(x: Array) -> Array:
    """x (1 + erf(x / sqrt 2)) / 2; numpy has no erf, which is read between points that lie _STEP apart.

    That errs by at most _STEP^2 / 8 (the second derivative is below 1), 3e-8: half the last bit of float32 at 1.
    """
    points = _erf_points()
    place = np.clip(np.multiply(x, 1 / (math.sqrt(2) * _STEP), dtype=np.float64), -_REACH / _STEP, _REACH / _STEP)
    below = np.floor(place).astype(np.int64)
    start = below + round(_REACH / _STEP)
    erf = points[start] + (place - below) * (points[start + 1] - points[start])
    activated: Array = x * (1 + erf.astype(np.float32)) / 2
    return activated


@cache
def _erf_points() -> NDArray[np.float64]:
    """From -_REACH to _STEP beyond it; farther out erf is 1 in float32."""
    last = round(_REACH / _STEP)
    return np.array([math.erf(number * _STEP) for number in range(-last, last + 2)])


def _softmax(logits: Array) -> Array:
    """Over the last axis."""
    raised = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shares: Array = raised / raised.sum(axis=-1, keepdims=True)
    return shares
