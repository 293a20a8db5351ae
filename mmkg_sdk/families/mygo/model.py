"""MyGO in torch: entity encoder (CMEE), triple encoder (CTE) and Tucker decoder.

Parameter names are those of the official checkpoint; tensors that the official model never uses are left out.

Shapes: N entities, R relations, d embedding_dim, H heads, S = 2 + tokens of all modalities, B queries.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .config import MyGOConfig
from .modalities import token_inputs
from .tucker_product import block_width, tucker_product

# Vectors of all tokens of all entities that a training step may keep for each operation, in bytes of float32: beyond
# it, entities are encoded some at a time, and again for their gradients. The published data sets are below it.
_TOKEN_BYTES = 320 << 20
_ENTITIES_AT_ONCE = 4096
# What an official checkpoint calls them in the names of their weights; further modalities have one name.
_SHORT = {"visual": "vis", "text": "txt"}


class ModalityWeights:
    """What the weights of one modality are called: codebook, projection, norm and type vector."""

    def __init__(self, name: str) -> None:
        short = _SHORT.get(name, name)
        self.codebook, self.projection = f"{name}_token_embedding", f"proj_ent_{short}"
        self.norm, self.type_vector = f"{short}_ln", f"pos_{short}_ent"


class TransformerLayer(nn.Module):
    """One post-norm layer with ReLU: X1 = LN(X + MHA(X)), X2 = LN(X1 + FFN(X1))."""

    def __init__(self, config: MyGOConfig) -> None:
        super().__init__()
        width = config.embedding_dim
        self.self_attn = nn.MultiheadAttention(width, config.num_heads, batch_first=True)
        self.linear1 = nn.Linear(width, config.feedforward_dim)
        self.linear2 = nn.Linear(config.feedforward_dim, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.rate = config.dropout

    def forward(self, tokens: Tensor, key_mask: Tensor | None = None) -> Tensor:
        """All positions. tokens [batch, S, d]; key_mask bool [batch, S], True = never attended to."""
        batch, length, width = tokens.shape
        heads = self.self_attn.num_heads
        projected = F.linear(tokens, self.self_attn.in_proj_weight, self.self_attn.in_proj_bias)
        query, key, value = projected.view(batch, length, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
        visible = None if key_mask is None else ~key_mask[:, None, None, :]
        attended = F.scaled_dot_product_attention(
            query, key, value, attn_mask=visible, dropout_p=self.rate if self.training else 0.0
        )
        return self._after_attention(tokens, attended.transpose(1, 2).reshape(batch, length, width))

    def first_position(self, tokens: Tensor, key_mask: Tensor) -> Tensor:
        """Position 0 only, [batch, d]: the same value as forward(...)[:, 0] for a fraction of the work.

        One query needs neither keys nor values of the other tokens: q.(Wk x + bk) = (Wk^T q).x + const, and the
        constant falls out of the softmax; sum_j a_j (Wv x_j + bv) = Wv (sum_j a_j x_j) + bv sum_j a_j. Holds with
        attention dropout too, where the a_j no longer sum to 1.
        """
        batch, _, width = tokens.shape
        heads = self.self_attn.num_heads
        head_width = width // heads
        query_weight, key_weight, value_weight = self.self_attn.in_proj_weight.view(3, heads, head_width, width)
        query_bias, _, value_bias = self.self_attn.in_proj_bias.view(3, heads, head_width)
        first = tokens[:, 0]
        query = torch.einsum("bd,hcd->bhc", first, query_weight) + query_bias
        key_side = torch.einsum("bhc,hcd->bhd", query, key_weight) / math.sqrt(head_width)
        logits = key_side @ tokens.transpose(1, 2)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        weights = logits.masked_fill(key_mask[:, None, :], -math.inf).softmax(dim=-1)
        weights = F.dropout(weights, self.rate, self.training).to(tokens.dtype)
        context = weights @ tokens
        attended = torch.einsum("bhd,hcd->bhc", context, value_weight) + value_bias * weights.sum(-1, keepdim=True)
        return self._after_attention(first, attended.reshape(batch, width))

    def _after_attention(self, tokens: Tensor, attended: Tensor) -> Tensor:
        attended = self.self_attn.out_proj(attended)
        tokens = self.norm1(tokens + F.dropout(attended, self.rate, self.training))
        hidden = F.dropout(F.relu(self.linear1(tokens)), self.rate, self.training)
        return self.norm2(tokens + F.dropout(self.linear2(hidden), self.rate, self.training))  # type: ignore[no-any-return]


class TransformerStack(nn.Module):
    """Layers that start as clones of each other, as in the official model; no final norm."""

    def __init__(self, config: MyGOConfig, num_layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(TransformerLayer(config) for _ in range(num_layers))
        for layer in self.layers[1:]:
            layer.load_state_dict(self.layers[0].state_dict())

    def forward(self, tokens: Tensor, key_mask: Tensor | None = None) -> Tensor:
        for layer in self.layers:
            tokens = layer(tokens, key_mask)
        return tokens

    def first_position(self, tokens: Tensor, key_mask: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            tokens = layer(tokens, key_mask)
        last: TransformerLayer = self.layers[-1]  # type: ignore[assignment]
        return last.first_position(tokens, key_mask)


class TuckerDecoder(nn.Module):
    """z = BN1( BN0(context) x (rho x W) ); Balazevic et al. 2019, with the relation on the first axis of W."""

    def __init__(self, config: MyGOConfig) -> None:
        super().__init__()
        width = config.embedding_dim
        self.W = nn.Parameter(torch.empty(width, width, width))
        self.bn0 = nn.BatchNorm1d(width)
        self.bn1 = nn.BatchNorm1d(width)
        self.rates = (config.tucker_input_dropout, config.tucker_matrix_dropout, config.tucker_output_dropout)

    def forward(self, context: Tensor, relation: Tensor) -> Tensor:
        """context, relation [B, d] -> query vectors [B, d]."""
        first, middle, last = self.rates
        block = block_width(len(context), context.shape[1], context.device.type)
        context = F.dropout(self.bn0(context), first, self.training)
        mapped = tucker_product(context, relation, self.W, middle if self.training else 0.0, block=block)
        return F.dropout(self.bn1(mapped), last, self.training)


class MyGO(nn.Module):
    """The whole model.

    Args:
        config: sizes and rates.
        inputs: what the data gives and a checkpoint does not hold, of every modality: NAME_tokens, int64 [N, count],
            rows of its codebook; NAME_mask, bool, True = padding.
    """

    # Type vector of structure, slot vectors of the triple encoder.
    pos_str_ent: nn.Parameter
    pos_head: nn.Parameter
    pos_rel: nn.Parameter
    pos_tail: nn.Parameter

    def __init__(self, config: MyGOConfig, inputs: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.config = config
        width = config.embedding_dim
        self.ent_token = nn.Parameter(torch.empty(1, 1, width))
        self.ent_embeddings = nn.Parameter(torch.empty(config.num_entities, 1, width))
        self.rel_embeddings = nn.Parameter(torch.empty(config.num_relations, 1, width))
        self.lp_token = nn.Parameter(torch.empty(1, width))
        named = [(modality, ModalityWeights(modality.name)) for modality in config.modalities]
        for name in self._vector_names():
            self.register_parameter(name, nn.Parameter(torch.empty(1, 1, width)))
        for modality, names in named:
            self.add_module(names.codebook, _codebook(modality.codebook_rows, modality.codebook_width))
        self.str_ent_ln, self.str_rel_ln = nn.LayerNorm(width), nn.LayerNorm(width)
        for _, names in named:
            self.add_module(names.norm, nn.LayerNorm(width))
        for modality, names in named:
            self.add_module(names.projection, nn.Linear(modality.codebook_width, width))
        self.ent_encoder = TransformerStack(config, config.num_entity_layers)
        self.decoder = TransformerStack(config, config.num_decoder_layers)
        self.tucker_decoder = TuckerDecoder(config) if config.score_function == "tucker" else None
        for name in token_inputs(config.modalities):
            self.register_buffer(name, torch.as_tensor(inputs[name]), persistent=False)
        for modality in config.modalities:
            # The rows in use, so that a step projects each of them once however often it occurs.
            rows, slots = torch.unique(self.get_buffer(f"{modality.name}_tokens"), return_inverse=True)
            self.register_buffer(f"{modality.name}_rows", rows, persistent=False)
            self.register_buffer(f"{modality.name}_slots", slots, persistent=False)
        self._initialise()

    def _vector_names(self) -> list[str]:
        """Parameters that are one vector: types of structure and modalities, slots of a triple."""
        types = [ModalityWeights(modality.name).type_vector for modality in self.config.modalities]
        return ["pos_str_ent", *types, "pos_head", "pos_rel", "pos_tail"]

    def _initialise(self) -> None:
        """Xavier-uniform where the official model does so (spec 3.3); layers keep torch's defaults."""
        drawn: list[Tensor] = [self.ent_embeddings, self.rel_embeddings, self.lp_token, self.ent_token]
        drawn += [self.get_parameter(name) for name in self._vector_names()]
        projections = [ModalityWeights(modality.name).projection for modality in self.config.modalities]
        drawn += [self.get_parameter(f"{name}.weight") for name in projections]
        if self.tucker_decoder is not None:
            drawn.append(self.tucker_decoder.W)
        for parameter in drawn:
            nn.init.xavier_uniform_(parameter)

    def projected(self, modality: str, rows: Tensor) -> Tensor:
        """Codebook rows [n, width] of a modality, projected and normed: [n, d]."""
        names = ModalityWeights(modality)
        vectors: Tensor = self.get_submodule(names.norm)(self.get_submodule(names.projection)(rows))
        return vectors

    def token_vectors(self) -> tuple[Tensor, ...]:
        """Of every modality the rows of the codebook that are in use, projected and normed: [rows, d] each."""
        names = [modality.name for modality in self.config.modalities]
        used = [self.get_submodule(ModalityWeights(name).codebook)(self.get_buffer(f"{name}_rows")) for name in names]
        return tuple(self.projected(name, rows) for name, rows in zip(names, used, strict=True))

    def entity_sequences(self, entities: Tensor | None = None, *vectors: Tensor) -> tuple[Tensor, Tensor]:
        """The token sequences of the given entities (all if None): float [n, S, d] and key mask bool [n, S].

        Args:
            vectors: those of `token_vectors`, where they were made before.
        """
        config = self.config
        structure = self.str_ent_ln(_rows(self.ent_embeddings, entities))
        structure = F.dropout(structure, config.structure_dropout, self.training) + self.pos_str_ent
        parts = [self.ent_token.expand(len(structure), 1, -1), structure]
        masks = [torch.zeros(len(structure), 2, dtype=torch.bool, device=structure.device)]
        for modality, rows in zip(config.modalities, vectors or self.token_vectors(), strict=True):
            tokens = F.embedding(_rows(self.get_buffer(f"{modality.name}_slots"), entities), rows)
            tokens = F.dropout(tokens, modality.dropout, self.training)
            parts.append(tokens + self.get_parameter(ModalityWeights(modality.name).type_vector))
            mask = _rows(self.get_buffer(f"{modality.name}_mask"), entities)
            if self.training and config.modality_dropout:
                mask = mask | (torch.rand(len(mask), 1, device=mask.device) < config.modality_dropout)
            masks.append(mask)
        return torch.cat(parts, dim=1), torch.cat(masks, dim=1)

    def leave_out(self, modality: str) -> None:
        """Encode entities as if none had a modality."""
        name = f"{modality}_mask"
        setattr(self, name, torch.ones_like(self.get_buffer(name)))  # the old one may be the run's own array

    def entity_table(self) -> Tensor:
        """[N + 1, d]: every entity encoded, then the raw missing-entity row (spec 2.1)."""
        config = self.config
        if self.training and 4 * config.num_entities * config.token_count * config.embedding_dim <= _TOKEN_BYTES:
            return torch.cat([self.encoded(), self.lp_token])
        # In bounded memory; in training, dropout draws other numbers than in one go.
        everyone = torch.arange(config.num_entities, device=self.lp_token.device)
        parts, vectors = torch.split(everyone, _ENTITIES_AT_ONCE), self.token_vectors()
        if self.training and torch.is_grad_enabled():
            encoded = [checkpoint(self.encoded, part, *vectors, use_reentrant=False) for part in parts]  # type: ignore[no-untyped-call]
        else:
            encoded = [self.encoded(part, *vectors) for part in parts]
        return torch.cat([*encoded, self.lp_token])

    def encoded(self, entities: Tensor | None = None, *vectors: Tensor) -> Tensor:
        """[n, d]: the given entities (all if None); arguments as in `entity_sequences`."""
        return self.ent_encoder.first_position(*self.entity_sequences(entities, *vectors))  # type: ignore[no-any-return]

    def entity_outputs(self, entities: Tensor | None = None) -> Tensor:
        """[n, S, d]: every output position, padding included; what the contrastive views read."""
        return self.ent_encoder(*self.entity_sequences(entities))  # type: ignore[no-any-return]

    def relation_table(self) -> Tensor:
        """[R, d]: normalised relation embeddings; no type vector and no encoder (spec 2.1)."""
        return F.dropout(self.str_rel_ln(self.rel_embeddings[:, 0]), self.config.structure_dropout, self.training)

    def encode_triples(self, entities: Tensor, relations: Tensor, queries: Tensor) -> Tensor:
        """[B, 3, d]: the triple encoder's outputs (spec 2.4).

        Args:
            entities: [N + 1, d] from `entity_table`, or some of its rows, the last among them; relations: [R, d] from
                `relation_table`.
            queries: int64 [B, 3] head, relation, tail; the last row of the entities stands for the missing one.
        """
        head = F.embedding(queries[:, 0], entities) + self.pos_head[0]
        relation = F.embedding(queries[:, 1], relations) + self.pos_rel[0]
        tail = F.embedding(queries[:, 2], entities) + self.pos_tail[0]
        return self.decoder(torch.stack([head, relation, tail], dim=1))  # type: ignore[no-any-return]

    def query_vectors(self, entities: Tensor, relations: Tensor, queries: Tensor) -> Tensor:
        """[B, d]: what is multiplied with the entity table; arguments as in `encode_triples`."""
        outputs = self.encode_triples(entities, relations, queries)
        head_missing = (queries[:, 0] == len(entities) - 1)[:, None]
        context = torch.where(head_missing, outputs[:, 0], outputs[:, 2])
        if self.tucker_decoder is None:
            return context
        return self.tucker_decoder(context, outputs[:, 1])  # type: ignore[no-any-return]

    def scores(self, entities: Tensor, relations: Tensor, queries: Tensor) -> Tensor:
        """[B, N]: higher is better; the missing-entity row is no candidate."""
        return self.query_vectors(entities, relations, queries) @ entities[:-1].T


def build(config: dict[str, Any], inputs: Mapping[str, NDArray[Any]]) -> MyGO:
    """The model of a run's configuration and inputs, with fresh weights."""
    read = MyGOConfig.from_json(config)
    return MyGO(read, {name: torch.as_tensor(inputs[name]) for name in token_inputs(read.modalities)})


def _codebook(rows: int, width: int) -> nn.Embedding:
    codebook = nn.Embedding(rows, width)
    codebook.weight.requires_grad_(False)
    return codebook


def _rows(tensor: Tensor, entities: Tensor | None) -> Tensor:
    return tensor if entities is None else tensor[entities]
