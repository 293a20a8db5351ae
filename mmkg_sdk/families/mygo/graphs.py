"""The MyGO graphs that are exported: the same numbers as the model in evaluation mode, with less work.

Each module is written in operators that every runtime has: no shape depends on a value, weights are stored the way
they are multiplied ([in, out]), masks become a large negative logit. Weights that are multiplied may be half
precision; norms, softmax and sums stay float32.
"""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ...bundle.graph_specs import Axis, GraphSpec, TensorSpec
from ...run import Run
from ..complete import complete_module, complete_spec, inner_product
from ..exported import DTYPES, Linear, Norm, load_weights, set_dtype
from .config import MyGOConfig
from .modalities import token_inputs
from .model import ModalityWeights, MyGO, TransformerLayer

# Large enough that exp() gives exactly 0, small enough for every float32 kernel.
_MASKED = -1e30
# Rows of the projected codebooks that are encoded at a time while tables are made.
_TABLE_ROWS = 4096


def encoded_entities(model: MyGO) -> dict[str, Tensor]:
    """What the encoder gives for every entity: "vectors" [N, d]. The last row of the model's table is no entity."""
    return {"vectors": model.entity_table()[:-1]}


def bundle_tensors(run: Run, model: MyGO) -> dict[str, dict[str, NDArray[Any]]]:
    """What the encoder graph is fed, one row per entity: tokens and masks, and the trained structural embeddings."""
    structure = model.ent_embeddings[:, 0].detach().float().numpy()
    return {"inputs": run.inputs | {"structure": structure}}


def graph_cases(run: Run, model: MyGO) -> dict[str, tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]]:
    """Entities and queries prove every graph."""
    return {}


LARGE_ENCODERS = ()


def graph_modules(model: MyGO, dtype: torch.dtype) -> dict[str, nn.Module]:
    """The modules to export by graph name; `dtype` is that of the weights that are multiplied.

    "entity_encoder_token_table" is there only where it is exact: with one encoder layer.
    """
    exact = copy.deepcopy(model).eval().requires_grad_(False).double().cpu()
    query_encoder = QueryEncoder(exact)
    modules: dict[str, nn.Module] = {"entity_encoder": EntityEncoder(exact), "query_encoder": query_encoder}
    if model.config.num_entity_layers == 1:
        modules["entity_encoder_token_table"] = TokenTableEncoder(exact)
    for module in modules.values():
        set_dtype(module, dtype)
    size = model.config.num_entities, model.config.embedding_dim
    modules["complete"] = complete_module(query_encoder, inner_product, *size)
    return modules


def load_modules(config: MyGOConfig, precision: str, weights: dict[str, Tensor]) -> dict[str, nn.Module]:
    """The modules of a bundle, from its weights named GRAPH.WEIGHT; without "complete", which adds no weights.

    Raises:
        RuntimeError: if a weight is missing, unknown or misshapen.
    """
    # No graph weight depends on the number of entities or tokens, or the width of the codebooks: the least will do.
    least = [replace(modality, codebook_width=1, num_tokens=2) for modality in config.modalities]
    skeleton = replace(config, num_entities=1).with_modalities(least)
    none = {
        name: torch.zeros(1, 2, dtype=torch.int64 if name.endswith("_tokens") else torch.bool)
        for name in token_inputs(least)
    }
    return load_weights(lambda: graph_modules(MyGO(skeleton, none), DTYPES[precision]), weights)


def graph_specs(config: MyGOConfig) -> dict[str, GraphSpec]:
    """The signatures of the graphs by name."""
    batch = Axis("batch", 1, 256, 4096)
    entities = Axis("num_entities", 1, config.num_entities, max(1 << 20, config.num_entities))
    width = config.embedding_dim
    encoder_inputs = [TensorSpec("structure", "float32", (batch, width))]
    for modality in config.modalities:
        tokens = Axis(f"{modality.name}_tokens", 1, modality.num_tokens, 1024)
        encoder_inputs.append(TensorSpec(f"{modality.name}_tokens", "int64", (batch, tokens)))
        encoder_inputs.append(TensorSpec(f"{modality.name}_mask", "bool", (batch, tokens)))
    query_inputs = tuple(TensorSpec(name, "int64", (batch,)) for name in ("entity", "relation", "direction"))
    vectors = (TensorSpec("vectors", "float32", (batch, width)),)
    table = TensorSpec("table", "float32", (entities, width))
    specs = [
        GraphSpec("entity_encoder", tuple(encoder_inputs), vectors),
        GraphSpec(
            "query_encoder",
            (table, *query_inputs),
            (TensorSpec("queries", "float32", (batch, width)),),
        ),
        complete_spec(table, query_inputs, config.num_entities, width),
    ]
    if config.num_entity_layers == 1:
        specs.append(GraphSpec("entity_encoder_token_table", tuple(encoder_inputs), vectors))
    return {spec.name: spec for spec in specs}


class _Sequence(nn.Module):
    """Tokens of all modalities as rows of one table, and what is added to their logits.

    The graphs that encode entities hand their inputs on to it: in the order of their signature, as the exporter gives
    them, or by name.
    """

    def __init__(self, model: MyGO) -> None:
        super().__init__()
        self.names = token_inputs(model.config.modalities)
        rows = [modality.codebook_rows for modality in model.config.modalities]
        self.starts = [sum(rows[:place]) for place in range(len(rows))]

    def forward(self, given: tuple[Tensor, ...], named: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """int64 and float32 [batch, tokens of all modalities]."""
        given = given or tuple(named[name] for name in self.names)
        tokens, masks = given[0::2], given[1::2]
        # Nothing is added to those of the first, which costs an operation.
        rows = [own + start if start else own for own, start in zip(tokens, self.starts, strict=True)]
        return torch.cat(rows, dim=1), torch.where(torch.cat(masks, dim=1), _MASKED, 0.0)


class EntityEncoder(nn.Module):
    """CMEE for any number of layers; projected codebooks are tables (stage P0 of the spec).

    Only the pooled position is read, so the last layer runs for that one alone.
    """

    def __init__(self, model: MyGO) -> None:
        super().__init__()
        self.structure = _Structure(model)
        self.tokens = _Sequence(model)
        self.multiplied_table = nn.Buffer(_token_table(model))
        self.pooled = nn.Buffer(model.ent_token.detach()[0])
        self.layers = nn.ModuleList(_Layer(layer) for layer in model.ent_encoder.layers)  # type: ignore[arg-type]

    def forward(self, structure: Tensor, *given: Tensor, **named: Tensor) -> Tensor:
        sequence, bias = self.sequence(structure, given, named)
        for layer in self.layers[:-1]:
            sequence = layer(sequence, sequence, bias)
        return self.layers[-1](sequence[:, :1], sequence, bias)[:, 0]  # type: ignore[no-any-return]

    def sequence(self, structure: Tensor, given: tuple[Tensor, ...], named: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """What goes into the layers, float32 [batch, tokens, d], and what is added to logits, [batch, 1, 1, tokens]."""
        tokens, hidden = self.tokens(given, named)
        first = torch.stack([self.pooled.expand_as(structure), self.structure(structure)], dim=1)
        sequence = torch.cat([first, F.embedding(tokens, self.multiplied_table).float()], dim=1)
        return sequence, torch.cat([torch.zeros_like(first[:, :, 0]), hidden], dim=1)[:, None, None, :]


class TokenTableEncoder(nn.Module):
    """CMEE with one layer, exactly, from tables (spec section 7).

    The pooled query is a constant, and keys and values of a codebook row do not depend on the entity: logits and
    values are tabulated per row. A token costs a gather and its share of one softmax and
    one weighted sum; projections and feed-forward run once per entity, whatever its token count.
    """

    def __init__(self, model: MyGO) -> None:
        super().__init__()
        layer: TransformerLayer = model.ent_encoder.layers[0]  # type: ignore[assignment]
        heads, width = model.config.num_heads, model.config.embedding_dim
        query_weight, key_weight, value_weight = layer.self_attn.in_proj_weight.detach().chunk(3)
        query_bias, _, value_bias = layer.self_attn.in_proj_bias.detach().chunk(3)
        pooled = model.ent_token.detach()[0]
        query = (pooled @ query_weight.T + query_bias).view(heads, width // heads) / math.sqrt(width // heads)
        # The key bias adds the same to every logit of a head and falls out of the softmax.
        logit_weight = torch.einsum("hc,hcd->dh", query, key_weight.view(heads, width // heads, width))
        table = _token_table(model)
        self.structure = _Structure(model)
        self.tokens = _Sequence(model)
        self.logit_weight = nn.Buffer(logit_weight)
        self.logits = nn.Buffer(table @ logit_weight)
        self.multiplied_values = nn.Buffer(table @ value_weight.T + value_bias)
        self.value = Linear(value_weight, value_bias)
        self.pooled = nn.Buffer(pooled)
        self.pooled_logits = nn.Buffer(pooled @ logit_weight)
        self.pooled_value = nn.Buffer(pooled @ value_weight.T + value_bias)
        self.head_of_column = nn.Buffer(torch.eye(heads).repeat_interleave(width // heads, dim=1))
        self.rest = _AfterAttention(layer)

    def forward(self, structure: Tensor, *given: Tensor, **named: Tensor) -> Tensor:
        tokens, hidden = self.tokens(given, named)
        structure = self.structure(structure)
        own_logits = structure @ self.logit_weight
        first = torch.stack([self.pooled_logits.expand_as(own_logits), own_logits], dim=2)
        token_logits = F.embedding(tokens, self.logits).transpose(1, 2) + hidden[:, None, :]
        weights = torch.cat([first, token_logits], dim=2).softmax(dim=-1)  # [batch, heads, 2 + tokens]
        values = F.embedding(tokens, self.multiplied_values)
        context = torch.matmul(weights[:, :, 2:].to(values.dtype), values).float()  # [batch, heads, d]
        context = context + weights[:, :, :1] * self.pooled_value
        context = context + weights[:, :, 1:2] * self.value(structure)[:, None]
        return self.rest(self.pooled, (context * self.head_of_column).sum(dim=1))  # type: ignore[no-any-return]


class QueryEncoder(nn.Module):
    """CTE and Tucker decoder: ids and direction to the vector that is multiplied with the table.

    Attention does not see order, so the three tokens are arranged as known entity, relation, missing entity;
    the direction only chooses their slot vectors. The last layer runs for the positions that are read out.
    Both batch norms are folded into the core: z = context x (rho x W') + rho x M + shift.
    """

    def __init__(self, model: MyGO) -> None:
        super().__init__()
        head, relation, tail = (model.get_parameter(f"pos_{name}").detach()[0, 0] for name in ("head", "rel", "tail"))
        missing = model.lp_token.detach()[0]
        self.known_slot = nn.Buffer(torch.stack([head, tail]))
        self.relations = nn.Buffer(model.relation_table().detach() + relation)
        self.missing = nn.Buffer(torch.stack([missing + tail, missing + head]))
        self.layers = nn.ModuleList(_Layer(layer) for layer in model.decoder.layers)  # type: ignore[arg-type]
        self.core = None if model.tucker_decoder is None else _Core(model)

    def forward(self, table: Tensor, entity: Tensor, relation: Tensor, direction: Tensor) -> Tensor:
        known = F.embedding(entity, table) + F.embedding(direction, self.known_slot)
        predicate, missing = F.embedding(relation, self.relations), F.embedding(direction, self.missing)
        sequence = torch.stack([known, predicate, missing], dim=1)
        for layer in self.layers[:-1]:
            sequence = layer(sequence, sequence)
        outputs = self.layers[-1](sequence[:, 1:], sequence)
        context = outputs[:, 1]
        return context if self.core is None else self.core(context, outputs[:, 0])  # type: ignore[no-any-return]


class _Structure(nn.Module):
    """Structural token: LN(embedding) + type vector."""

    def __init__(self, model: MyGO) -> None:
        super().__init__()
        self.norm = Norm(model.str_ent_ln)
        self.type_vector = nn.Buffer(model.get_parameter("pos_str_ent").detach()[0])

    def forward(self, embedding: Tensor) -> Tensor:
        return self.norm(embedding) + self.type_vector  # type: ignore[no-any-return]


class _AfterAttention(nn.Module):
    """Output projection, residual, norm, feed-forward, residual, norm."""

    def __init__(self, layer: TransformerLayer) -> None:
        super().__init__()
        self.output = Linear(layer.self_attn.out_proj.weight, layer.self_attn.out_proj.bias)
        self.norm1, self.norm2 = Norm(layer.norm1), Norm(layer.norm2)
        self.hidden = Linear(layer.linear1.weight, layer.linear1.bias)
        self.feedforward = Linear(layer.linear2.weight, layer.linear2.bias)

    def forward(self, residual: Tensor, attended: Tensor) -> Tensor:
        x = self.norm1(residual + self.output(attended))
        return self.norm2(x + self.feedforward(torch.relu(self.hidden(x))))  # type: ignore[no-any-return]


class _Layer(nn.Module):
    """One transformer layer for some positions (`queries`) attending to all (`sequence`)."""

    def __init__(self, layer: TransformerLayer) -> None:
        super().__init__()
        weights, biases = layer.self_attn.in_proj_weight.chunk(3), layer.self_attn.in_proj_bias.chunk(3)
        self.heads = layer.self_attn.num_heads
        self.query, self.key, self.value = (Linear(w, b) for w, b in zip(weights, biases, strict=True))
        self.rest = _AfterAttention(layer)

    def forward(self, queries: Tensor, sequence: Tensor, bias: Tensor | None = None) -> Tensor:
        query, key, value = (
            self._split(part) for part in (self.query(queries), self.key(sequence), self.value(sequence))
        )
        logits = torch.matmul(query, key.transpose(2, 3)).float() / math.sqrt(query.shape[-1])
        weights = (logits if bias is None else logits + bias).softmax(dim=-1)
        attended = torch.matmul(weights.to(value.dtype), value).float().transpose(1, 2)
        return self.rest(queries, attended.flatten(2))  # type: ignore[no-any-return]

    def _split(self, x: Tensor) -> Tensor:
        """[batch, positions, d] -> [batch, heads, positions, d / heads] in the graph's precision."""
        batch, positions, width = x.shape
        x = x.to(self.query.multiplied_weight.dtype)
        return x.view(batch, positions, self.heads, width // self.heads).transpose(1, 2)


class _Core(nn.Module):
    """The Tucker core with both batch norms folded in (they are affine in evaluation mode)."""

    def __init__(self, model: MyGO) -> None:
        super().__init__()
        decoder = model.tucker_decoder
        assert decoder is not None
        (scale0, shift0), (scale1, shift1) = _affine(decoder.bn0), _affine(decoder.bn1)
        core = decoder.W.detach() * scale1
        self.width = len(scale0)
        self.multiplied_core = nn.Buffer((scale0[:, None] * core).flatten(1))
        self.relation = Linear((shift0 @ core).T, shift1)

    def forward(self, context: Tensor, relation: Tensor) -> Tensor:
        matrix = torch.matmul(relation.to(self.multiplied_core.dtype), self.multiplied_core)
        matrix = matrix.view(-1, self.width, self.width)
        mapped = torch.matmul(context.to(matrix.dtype)[:, None], matrix)[:, 0]
        return mapped.float() + self.relation(relation)  # type: ignore[no-any-return]


def _affine(norm: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    """A batch norm in evaluation mode as scale and shift."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight.detach() / torch.sqrt(norm.running_var + norm.eps)
    return scale, norm.bias.detach() - norm.running_mean * scale


def _token_table(model: MyGO) -> Tensor:
    """[rows of all codebooks, d]: LN(projected codebook row) + type vector, by modality."""
    parts = []
    for modality in model.config.modalities:
        names = ModalityWeights(modality.name)
        codebook, kind = model.get_parameter(f"{names.codebook}.weight"), model.get_parameter(names.type_vector)[0]
        parts += [model.projected(modality.name, rows) + kind for rows in torch.split(codebook.detach(), _TABLE_ROWS)]
    return torch.cat(parts).detach()
