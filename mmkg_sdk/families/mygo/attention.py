"""What the pooled position of MyGO's entity encoder attends to, in numpy, from the weights of a bundle's encoder.

With one layer from its token table, as the graph and the kernels do it: the logits of a token do not depend on the
entity. With more, layer by layer, as the graph `entity_encoder`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...backends.compiled import as_float32
from ...bundle import Bundle
from ...files.tensors import tensors_in
from ...modalities.readers import AnyReader
from ...registry import said_modality
from ..explained import EntityExplanation, TokenWeight
from ..runtimes import EntityRow
from .compiled_encoder import TOKEN_TABLE_GRAPH
from .config import MyGOConfig

Array = NDArray[np.float64]
Inputs = Callable[[str], NDArray[Any]]
_NORM_EPSILON = 1e-5
POOLED, STRUCTURE = "pooled", "structure"


def explained_entity(bundle: Bundle, entity: EntityRow, tokenizers: Mapping[str, AnyReader]) -> EntityExplanation:
    """What counts in an entity.

    Args:
        tokenizers: what made the tokens of its modalities, as far as the bundle has it.
    """
    modalities = MyGOConfig.of(bundle.config).modalities
    graph = TOKEN_TABLE_GRAPH if TOKEN_TABLE_GRAPH in bundle.graphs else "entity_encoder"
    attention = pooled_attention(bundle, entity.inputs, graph)
    weights = attention[-1].mean(axis=0, dtype=np.float64).tolist()
    shares = {POOLED: weights[0], STRUCTURE: weights[1]} | {said_modality(one.name): 0.0 for one in modalities}
    own = [(one.name, int(token)) for one in modalities for token in _tokens(entity.inputs, one.name)]
    tokens = tuple(
        _token_weight(name, token, weight, tokenizers.get(name))
        for (name, token), weight in zip(own, weights[2:], strict=True)
    )
    for token in tokens:
        shares[token.modality] += token.weight
    return EntityExplanation(entity.label, shares, tokens, attention)


def _token_weight(modality: str, token: int, weight: float, tokenizer: AnyReader | None) -> TokenWeight:
    said = said_modality(modality)
    if tokenizer is None:
        return TokenWeight(said, token, weight)
    if tokenizer.reads == "texts":
        return TokenWeight(said, token, weight, text=tokenizer.piece(token))
    return TokenWeight(said, token, weight, place=tokenizer.place(token))


def pooled_attention(bundle: Bundle, inputs: Inputs, graph: str) -> NDArray[np.float32]:
    """Attention of the pooled position, float32 [layers, heads, 2 + tokens]: to itself, the structure, and each token.

    Args:
        inputs: what the entity is encoded from, by name.
        graph: whose weights are taken; the one of the token table knows a single layer.
    """
    config = MyGOConfig.of(bundle.config)
    stored = tensors_in(bundle.files["weights.safetensors"], f"{graph}.")
    weights = {name.removeprefix(f"{graph}."): array for name, array in stored.items()}
    starts = np.cumsum([0, *(modality.codebook_rows for modality in config.modalities)])
    rows = np.concatenate(
        [_tokens(inputs, one.name) + start for one, start in zip(config.modalities, starts, strict=False)]
    )
    structure = _norm(weights, "structure.norm", inputs("structure")) + weights["structure.type_vector"][0]
    if graph == TOKEN_TABLE_GRAPH:
        own = structure[None] @ weights["logit_weight"]
        logits = np.concatenate([weights["pooled_logits"], own, weights["logits"][rows]])
        return _softmax(logits.T)[None].astype(np.float32)
    sequence = np.concatenate([weights["pooled"], structure[None], as_float32(weights["multiplied_table"][rows])])
    found = []
    for layer in range(config.num_entity_layers):
        attention, sequence = _layer(weights, f"layers.{layer}", sequence, config.num_heads)
        found.append(attention[:, 0])
    return np.stack(found).astype(np.float32)


def _tokens(inputs: Inputs, modality: str) -> NDArray[np.int64]:
    """Those of an entity, without padding."""
    tokens: NDArray[np.int64] = inputs(f"{modality}_tokens")[~inputs(f"{modality}_mask")]
    return tokens


def _layer(weights: Mapping[str, NDArray[Any]], name: str, x: Array, heads: int) -> tuple[Array, Array]:
    """Attention [heads, positions, positions] and outputs [positions, width] of a post-norm layer."""
    query, key, value = (_split(_linear(weights, f"{name}.{part}", x), heads) for part in ("query", "key", "value"))
    attention = _softmax(query @ key.transpose(0, 2, 1) / math.sqrt(query.shape[-1]))
    attended = (attention @ value).transpose(1, 0, 2).reshape(x.shape)
    x = _norm(weights, f"{name}.rest.norm1", x + _linear(weights, f"{name}.rest.output", attended))
    hidden = np.maximum(_linear(weights, f"{name}.rest.hidden", x), 0)
    return attention, _norm(weights, f"{name}.rest.norm2", x + _linear(weights, f"{name}.rest.feedforward", hidden))


def _split(x: Array, heads: int) -> Array:
    """[positions, width] -> [heads, positions, width / heads]."""
    return x.reshape(len(x), heads, -1).transpose(1, 0, 2)


def _linear(weights: Mapping[str, NDArray[Any]], name: str, x: Array) -> Array:
    weight = as_float32(weights[f"{name}.multiplied_weight"]).astype(np.float64)
    product: Array = x @ weight + weights[f"{name}.bias"]
    return product


def _norm(weights: Mapping[str, NDArray[Any]], name: str, x: NDArray[Any]) -> Array:
    centred = x.astype(np.float64) - x.mean(axis=-1, keepdims=True, dtype=np.float64)
    deviation = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + _NORM_EPSILON)
    normed: Array = centred / deviation * weights[f"{name}.weight"] + weights[f"{name}.bias"]
    return normed


def _softmax(logits: Array) -> Array:
    """Over the last axis."""
    raised = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shares: Array = raised / raised.sum(axis=-1, keepdims=True)
    return shares
