"""AdaMF in torch: adaptive fusion of structure, image, text and others, scored by rotation in the complex plane.

Parameter names are those of the official checkpoint.

Shapes: N entities, R relations, M vectors that are mixed (structure and modalities; 3 as published), d embedding_dim,
B queries. A vector of width 2d holds d complex numbers: first the real parts, then the imaginary ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from .config import AdaMFConfig
from .modalities import mask_names

# Large enough that exp() gives exactly 0, small enough for every float32 kernel.
MASKED = -1e30

# Moduli computed at a time when all entities are scored: 16 MiB of float32 per intermediate result.
MODULI_PER_BLOCK = 2**22


class AdaMF(nn.Module):
    """The whole model, without the generators of its training.

    The feature tables are NaN until weights are loaded into them, from a checkpoint or from the features of a data
    set: a model whose features were forgotten then has no scores instead of wrong ones.

    Args:
        masks: NAME_mask of every modality, bool [N]; True = that of this entity takes no part in the fusion.
    """

    # Constants that the official checkpoint holds as tensors, float32 [1] each.
    zero_const: Tensor
    pi_const: Tensor
    ent_embedding_range: Tensor
    rel_embedding_range: Tensor
    margin: Tensor
    # bool [N, M]: structure (never), then the modalities.
    hidden: Tensor

    def __init__(self, config: AdaMFConfig, masks: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.config = config
        given = [masks[name] for name in mask_names(config.modalities)]
        self.register_buffer("hidden", torch.stack([torch.zeros_like(given[0]), *given], dim=1), persistent=False)
        width = 2 * config.embedding_dim
        for name, value in {
            "zero_const": 0.0,
            "pi_const": math.pi,
            "ent_embedding_range": (config.margin + config.epsilon) / width,
            "rel_embedding_range": (config.margin + config.epsilon) / config.embedding_dim,
            "margin": config.margin,
        }.items():
            self.register_buffer(name, torch.tensor([value]))
        self.ent_embeddings = nn.Embedding(config.num_entities, width)
        self.rel_embeddings = nn.Embedding(config.num_relations, config.embedding_dim)
        for modality in config.modalities:
            name = modality.short_name
            self.add_module(f"{name}_proj", nn.Linear(modality.feature_width, width))
            features = _features(config.num_entities, modality.feature_width, config.train_features)
            self.add_module(f"{name}_embeddings", features)
        self.ent_attn = nn.Linear(width, 1, bias=False)
        self._initialise()

    def _initialise(self) -> None:
        """Uniform tables (spec 3.3); layers keep torch's defaults."""
        for table, limit in (
            (self.ent_embeddings, self.ent_embedding_range),
            (self.rel_embeddings, self.rel_embedding_range),
        ):
            nn.init.uniform_(table.weight, -limit.item(), limit.item())

    def modality_vectors(self, entities: Tensor | None = None) -> Tensor:
        """[n, M, 2d]: structure, projected modalities of the given entities (all if None)."""
        structure = _rows(self.ent_embeddings.weight, entities)
        vectors = [structure]
        for modality in self.config.modalities:
            features = _rows(self.get_parameter(f"{modality.short_name}_embeddings.weight"), entities)
            vectors.append(self.get_submodule(f"{modality.short_name}_proj")(features).to(structure.dtype))
        return torch.stack(vectors, dim=1)

    def fusion_weights(self, vectors: Tensor, hidden: Tensor | None = None) -> Tensor:
        """[n, M]: how much structure and the modalities count; softmax of w . tanh(vector).

        Args:
            vectors: [n, M, 2d], as `modality_vectors` gives them.
            hidden: bool [n, M], True = no share at all; None hides nothing, as the authors' code.
        """
        logits: Tensor = self.ent_attn(torch.tanh(vectors))[..., 0].to(vectors.dtype)
        if hidden is not None:
            logits = logits.masked_fill(hidden, MASKED)
        return logits.softmax(dim=-1)

    def fuse(self, vectors: Tensor, hidden: Tensor | None = None) -> Tensor:
        """[n, 2d]: the mix of the vectors, themselves and not their tanh; arguments as `fusion_weights`."""
        return (self.fusion_weights(vectors, hidden)[..., None] * vectors).sum(dim=-2)

    @torch.no_grad()
    def leave_out(self, modality: str) -> None:
        """Fuse entities as if none had a modality: as `missing_modalities` says."""
        (place,) = [i for i, one in enumerate(self.config.modalities) if one.name == modality]
        if self.config.missing_modalities == "mask":
            self.hidden[:, 1 + place] = True
        else:
            self.get_parameter(f"{self.config.modalities[place].short_name}_embeddings.weight").zero_()

    def entity_table(self, entities: Tensor | None = None) -> Tensor:
        """[n, 2d]: the fused vectors (all if None). They depend on the entity alone, so they serve every query."""
        return self.fuse(self.modality_vectors(entities), self.hidden if entities is None else self.hidden[entities])

    def modality_weights(self) -> Tensor:
        """[N, M]: how much structure and the modalities count in each entity's fused vector."""
        return self.fusion_weights(self.modality_vectors(), self.hidden)

    def relation_table(self) -> Tensor:
        """[R, 2d]: cosines, then sines of the phases. A phase is not wrapped and may exceed pi."""
        phases = self.rel_embeddings.weight / (self.rel_embedding_range / self.pi_const)
        return torch.cat([phases.cos(), phases.sin()], dim=1)

    def triple_scores(self, heads: Tensor, rotations: Tensor, tails: Tensor) -> Tensor:
        """[...]: margin - sum of |head * rotation - tail|; all arguments [..., 2d]."""
        real, imaginary = (rotated(heads, rotations) - tails).chunk(2, dim=-1)
        # vector_norm, because the gradient of a square root at 0 would be NaN.
        moduli = torch.linalg.vector_norm(torch.stack([real, imaginary]), dim=0)
        found: Tensor = self.margin - moduli.sum(dim=-1)
        return found

    def query_vectors(self, entities: Tensor, relations: Tensor, queries: Tensor) -> Tensor:
        """[B, 2d]: the known entity rotated to where the answer should be; backwards if the head is asked for.

        Args:
            entities: [N, 2d] from `entity_table`; relations: [R, 2d] from `relation_table`.
            queries: int64 [B, 3] head, relation, tail; N stands for the missing entity.
        """
        head_missing = queries[:, 0] == self.config.num_entities
        known = torch.where(head_missing, queries[:, 2], queries[:, 0])
        cosine, sine = F.embedding(queries[:, 1], relations).chunk(2, dim=-1)
        sine = torch.where(head_missing[:, None], -sine, sine)
        return rotated(F.embedding(known, entities), torch.cat([cosine, sine], dim=-1))

    def scores(self, entities: Tensor, relations: Tensor, queries: Tensor) -> Tensor:
        """[B, N]: higher is better, at most the margin. For inference; training scores triples."""
        return self.margin - distances(self.query_vectors(entities, relations, queries), entities)


def rotated(vectors: Tensor, rotations: Tensor) -> Tensor:
    """[..., 2d]: complex product of vectors and cos + i sin; both arguments [..., 2d]."""
    real, imaginary = vectors.chunk(2, dim=-1)
    cosine, sine = rotations.chunk(2, dim=-1)
    return torch.cat([real * cosine - imaginary * sine, real * sine + imaginary * cosine], dim=-1)


@torch.no_grad()
def distances(queries: Tensor, table: Tensor) -> Tensor:
    """[B, n]: sum over the d coordinates of |query - candidate|, without gradients.

    Candidates are taken in blocks, so that memory does not grow with B * n * d.

    Args:
        queries: [B, 2d]; table: [n, 2d].
    """
    query_real, query_imaginary = queries[:, None].chunk(2, dim=-1)
    block = max(1, MODULI_PER_BLOCK // max(1, query_real.numel()))
    found = queries.new_empty(len(queries), len(table))
    for start in range(0, len(table), block):
        real, imaginary = table[None, start : start + block].chunk(2, dim=-1)
        difference = query_imaginary - imaginary
        squares = (query_real - real).square_().addcmul_(difference, difference)
        torch.sum(squares.sqrt_(), dim=-1, out=found[:, start : start + block])
    return found


def build(config: dict[str, Any], inputs: Mapping[str, NDArray[Any]]) -> AdaMF:
    """The model of a run's configuration and inputs (masks), with fresh weights but no features yet."""
    read = AdaMFConfig.from_json(config)
    return AdaMF(read, {name: torch.as_tensor(inputs[name]) for name in mask_names(read.modalities)})


def _features(rows: int, width: int, trained: bool) -> nn.Embedding:
    features = nn.Embedding(rows, width, _weight=torch.full((rows, width), math.nan))
    features.weight.requires_grad_(trained)
    return features


def _rows(table: Tensor, entities: Tensor | None) -> Tensor:
    return table if entities is None else F.embedding(entities, table)
