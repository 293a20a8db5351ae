"""The AdaMF graphs that are exported: the same numbers as the model, with less work.

Fusion depends on the entity alone and the phase on the relation alone, so both are tables; a query is one complex
product, and both directions share one kernel (spec section 7). Conventions as in MyGO's graphs: weights that are
multiplied may be half precision and are stored [in, out]; tanh, softmax, sines and sums stay float32.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ...bundle.graph_specs import Axis, GraphSpec, TensorSpec
from ...run import Run
from ..complete import complete_module, complete_spec
from ..exported import DTYPES, linear, load_weights, scan, set_dtype
from .config import AdaMFConfig
from .modalities import mask_names
from .model import MASKED, AdaMF, rotated


def encoded_entities(model: AdaMF) -> dict[str, Tensor]:
    """What the encoder gives for every entity: "vectors" [N, 2d] and "modality_weights" [N, M]."""
    return {"vectors": model.entity_table(), "modality_weights": model.modality_weights()}


def bundle_tensors(run: Run, model: AdaMF) -> dict[str, dict[str, NDArray[Any]]]:
    """What the encoder graph is fed, one row per entity: masks, and the trained vectors of each modality."""
    trained: dict[str, Tensor] = {"structure": model.ent_embeddings.weight}
    for modality in model.config.modalities:
        trained[f"{modality.name}_features"] = model.get_parameter(f"{modality.short_name}_embeddings.weight")
    return {"inputs": run.inputs | {name: rows.detach().float().numpy() for name, rows in trained.items()}}


def graph_cases(run: Run, model: AdaMF) -> dict[str, tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]]:
    """Entities and queries prove every graph."""
    return {}


LARGE_ENCODERS = ()


def graph_modules(model: AdaMF, dtype: torch.dtype) -> dict[str, nn.Module]:
    """The modules to export by graph name; `dtype` is that of the weights that are multiplied."""
    exact = copy.deepcopy(model).eval().requires_grad_(False).double().cpu()
    query_encoder = QueryEncoder(exact)
    modules: dict[str, nn.Module] = {"entity_encoder": EntityEncoder(exact), "query_encoder": query_encoder}
    for module in modules.values():
        set_dtype(module, dtype)
    config = model.config
    score = partial(_score, config.margin)
    modules["complete"] = complete_module(query_encoder, score, config.num_entities, config.table_width)
    return modules


def load_modules(config: AdaMFConfig, precision: str, weights: dict[str, Tensor]) -> dict[str, nn.Module]:
    """The modules of a bundle, from its weights named GRAPH.WEIGHT; without "complete", which adds no weights.

    Raises:
        RuntimeError: if a weight is missing, unknown or misshapen.
    """
    # No graph weight depends on the number of entities or the generators.
    skeleton = replace(config, num_entities=1, noise_dim=1)
    none = {name: torch.zeros(1, dtype=torch.bool) for name in mask_names(config.modalities)}
    return load_weights(lambda: graph_modules(AdaMF(skeleton, none), DTYPES[precision]), weights)


def graph_specs(config: AdaMFConfig) -> dict[str, GraphSpec]:
    """The signatures of the graphs by name."""
    batch = Axis("batch", 1, 256, 4096)
    entities = Axis("num_entities", 1, config.num_entities, max(1 << 20, config.num_entities))
    width = config.table_width
    table = TensorSpec("table", "float32", (entities, width))
    query_inputs = tuple(TensorSpec(name, "int64", (batch,)) for name in ("entity", "relation", "direction"))
    encoder_inputs = [TensorSpec("structure", "float32", (batch, width))]
    for modality in config.modalities:
        encoder_inputs.append(TensorSpec(f"{modality.name}_features", "float32", (batch, modality.feature_width)))
        encoder_inputs.append(TensorSpec(f"{modality.name}_mask", "bool", (batch,)))
    weights = TensorSpec("modality_weights", "float32", (batch, config.num_vectors))
    specs = (
        GraphSpec("entity_encoder", tuple(encoder_inputs), (TensorSpec("vectors", "float32", (batch, width)), weights)),
        GraphSpec("query_encoder", (table, *query_inputs), (TensorSpec("queries", "float32", (batch, width)),)),
        complete_spec(table, query_inputs, config.num_entities, width),
    )
    return {spec.name: spec for spec in specs}


class EntityEncoder(nn.Module):
    """Adaptive fusion (spec 2.1): projections, softmax of w . tanh(k), weighted sum of the un-squashed vectors."""

    def __init__(self, model: AdaMF) -> None:
        super().__init__()
        self.modalities = model.config.modalities
        for modality in self.modalities:
            self.add_module(modality.graph_name, linear(model.get_submodule(f"{modality.short_name}_proj")))
        self.attention = nn.Buffer(model.ent_attn.weight.detach().T.contiguous())

    def forward(self, structure: Tensor, *given: Tensor, **named: Tensor) -> tuple[Tensor, Tensor]:
        """Features and mask of each modality: in the order of the signature, as the exporter gives them, or by name."""
        given = given or tuple(named[f"{one.name}_{part}"] for one in self.modalities for part in ("features", "mask"))
        pairs = zip(self.modalities, given[0::2], strict=True)
        projected = [self.get_submodule(modality.graph_name)(rows) for modality, rows in pairs]
        vectors = torch.stack([structure, *projected], dim=1)
        logits = torch.matmul(torch.tanh(vectors), self.attention)[..., 0]
        hidden = torch.stack(given[1::2], dim=1)
        bias = torch.where(hidden, MASKED, 0.0)
        weights = torch.cat([logits[:, :1], logits[:, 1:] + bias], dim=1).softmax(dim=-1)
        return (weights[..., None] * vectors).sum(dim=1), weights


class QueryEncoder(nn.Module):
    """The known entity, rotated by the relation's phase for tails and back by it for heads (spec 2.2)."""

    def __init__(self, model: AdaMF) -> None:
        super().__init__()
        self.rotations = nn.Buffer(model.relation_table().detach())

    def forward(self, table: Tensor, entity: Tensor, relation: Tensor, direction: Tensor) -> Tensor:
        cosine, sine = F.embedding(relation, self.rotations).chunk(2, dim=-1)
        sine = sine * (1 - 2 * direction).float()[:, None]
        return rotated(F.embedding(entity, table), torch.cat([cosine, sine], dim=-1))


def _score(margin: float, queries: Tensor, table: Tensor) -> Tensor:
    """margin - distance, [batch, n].

    Standard operators have no fused distance, so the graph adds the moduli of one coordinate at a time. Beside the
    table, turned once, it holds six numbers for each query and candidate, whatever the width.
    """
    nothing = queries.new_zeros(queries.shape[0], table.shape[0])
    distances, _ = scan(_add_moduli, nothing, (_by_coordinate(queries), _by_coordinate(table)))
    return margin - distances


def _by_coordinate(vectors: Tensor) -> Tensor:
    """[n, 2d] -> [d, 2, n]: of each coordinate the real parts, then the imaginary ones."""
    return vectors.T.reshape(2, vectors.shape[1] // 2, -1).transpose(0, 1)


def _add_moduli(distances: Tensor, coordinate: tuple[Tensor, ...]) -> tuple[Tensor, tuple[()]]:
    """What one coordinate of the queries [2, B] and of the table [2, N] adds to the distances [B, N]."""
    query, candidate = coordinate
    real, imaginary = query[0][:, None] - candidate[0], query[1][:, None] - candidate[1]
    return distances + (real * real + imaginary * imaginary).sqrt(), ()
