"""Sizes and settings of a MyGO model, and the published presets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, Self

from ...bundle.config import FamilyConfig
from ...errors import DataError
from ...ranking.exact import RankingProtocol
from ...ranking.scores import CandidateScore, InnerProduct
from ...registry import LINK_PREDICTION
from ..further import check_further, further_from_json, further_to_json
from .modalities import TokenModality


@dataclass(frozen=True)
class MyGOConfig(FamilyConfig):
    """Everything that cannot be read from the tensors of a checkpoint, and the sizes that can.

    Dropout rates are probabilities. Those of the Tucker product are fixed in the authors' code.

    Attributes:
        num_entities, num_relations: of the graph.
        visual_codebook_rows, text_codebook_rows: tokens that there are.
        visual_codebook_width, text_codebook_width: numbers that each token stands for.
        num_visual_tokens, num_text_tokens: tokens of each entity, the most frequent ones.
        embedding_dim: width of entities, relations and queries.
        feedforward_dim: width inside the feed-forward layers of the transformers.
        num_heads: attention heads of the transformers.
        num_entity_layers: layers of the transformer that encodes entities.
        num_decoder_layers: layers of the transformer that encodes queries.
        score_function: "tucker": a Tucker product of relation and query, then an inner product; "inner": the inner
            product alone.
        structure_dropout: on the learned vectors of entities and relations.
        visual_dropout, text_dropout: on the tokens of each kind.
        modality_dropout: share of the entities that a training step shows without a modality, drawn for each modality
            by itself; ours, and not the authors'. What is trained so still answers where images or texts lack.
        dropout: in the transformers.
        tucker_input_dropout, tucker_matrix_dropout, tucker_output_dropout: on the query that enters the Tucker product,
            the matrix of its relation, and what comes out.
        label_smoothing: share of the target that is spread over all entities.
        contrastive_weight: of the contrastive loss, the paper's lambda (`mu` in the authors' scripts); 0 leaves it out.
        contrastive_temperature: of the contrastive loss.
        contrastive_samples: entities that are contrasted in a step.
        sampled_entities: wrong answers of a step, drawn anew for each and shared by its queries. A step then
            encodes only these and the batch's own: on large graphs several times as fast, and another training. None:
            all of them, as published.
        further_modalities: those beyond image and text, in the order of their names; the settings of the published ones
            above are theirs under other names. Of each: name, num_tokens (8) and dropout (0.1); the data decide
            codebook_rows and codebook_width.
    """

    num_entities: int
    num_relations: int
    visual_codebook_rows: int
    visual_codebook_width: int
    text_codebook_rows: int
    text_codebook_width: int
    num_visual_tokens: int = 8
    num_text_tokens: int = 8
    embedding_dim: int = 256
    feedforward_dim: int = 1024
    num_heads: int = 2
    num_entity_layers: int = 1
    num_decoder_layers: int = 1
    score_function: Literal["tucker", "inner"] = "tucker"
    structure_dropout: float = 0.6
    visual_dropout: float = 0.3
    text_dropout: float = 0.1
    modality_dropout: float = 0.0
    dropout: float = 0.01
    tucker_input_dropout: float = 0.3
    tucker_matrix_dropout: float = 0.4
    tucker_output_dropout: float = 0.5
    label_smoothing: float = 0.0
    contrastive_weight: float = 0.0
    contrastive_temperature: float = 0.5
    contrastive_samples: int = 512
    sampled_entities: int | None = None
    further_modalities: tuple[TokenModality, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        check_further(self.further_modalities, TokenModality)
        for name, value in self.to_json().items():
            if name.endswith("dropout") and not value < 1:
                raise DataError(f"{name} is {value!r}; a dropout rate lies in [0, 1).")
        if self.embedding_dim % self.num_heads:
            raise DataError(
                f"embedding_dim {self.embedding_dim} is not a multiple of num_heads {self.num_heads}; change one."
            )
        if self.sampled_entities is not None and (type(self.sampled_entities) is not int or self.sampled_entities < 1):
            raise DataError(
                f"sampled_entities is {self.sampled_entities!r:.80}; expected a whole number of at least 1, or null."
            )
        if self.score_function not in ("tucker", "inner"):
            raise DataError(f"score_function is {self.score_function!r}; expected 'tucker' or 'inner'.")
        if self.contrastive_weight and self.num_text_tokens < 2:
            raise DataError(
                "the contrastive text view leaves the last text slot out, so num_text_tokens = 1 leaves nothing to "
                "average; use at least 2, or contrastive_weight = 0."
            )

    @cached_property
    def modalities(self) -> tuple[TokenModality, ...]:
        """All of them, in the order of an entity's sequence."""
        return (
            TokenModality(
                "visual",
                self.visual_codebook_rows,
                self.visual_codebook_width,
                self.num_visual_tokens,
                self.visual_dropout,
            ),
            TokenModality(
                "text", self.text_codebook_rows, self.text_codebook_width, self.num_text_tokens, self.text_dropout
            ),
            *self.further_modalities,
        )

    def with_modalities(self, modalities: Sequence[TokenModality]) -> Self:
        """The same configuration with others in the place of `modalities`."""
        visual, text, *further = modalities
        flat: dict[str, Any] = {
            spelling.format(one.name): value
            for one in (visual, text)
            for spelling, value in (
                ("{}_codebook_rows", one.codebook_rows),
                ("{}_codebook_width", one.codebook_width),
                ("num_{}_tokens", one.num_tokens),
                ("{}_dropout", one.dropout),
            )
        }
        return replace(self, **flat, further_modalities=tuple(further))

    def to_json(self) -> dict[str, Any]:
        """See FamilyConfig."""
        return further_to_json(super().to_json())

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """See FamilyConfig."""
        further = further_from_json(values.get("further_modalities", []), TokenModality)
        return super().from_json({**values, "further_modalities": further})

    @property
    def token_count(self) -> int:
        """Length of an entity's sequence: pooled token, structural token, tokens of every modality."""
        return 2 + sum(modality.num_tokens for modality in self.modalities)

    @property
    def task(self) -> str:
        """What the model does."""
        return LINK_PREDICTION

    @property
    def table_width(self) -> int:
        """Width of an encoded entity and of a query vector."""
        return self.embedding_dim

    @property
    def candidate_score(self) -> CandidateScore:
        """How a query vector and an encoded entity are scored."""
        return InnerProduct()

    @property
    def protocol(self) -> RankingProtocol:
        """Equal scores count half, rounded down (spec section 4)."""
        return RankingProtocol("floor")


# The name by which every family's configuration is found.
Config = MyGOConfig
EMBEDDED_DATA = ("atlas",)
READS_TOKENS = True

# Settings by preset; names of MyGOConfig and TrainingSettings in one flat table. The first two are the authors'
# published scripts (spec section 3.2). The last two are ours, for two processor cores: far fewer epochs, so a higher
# rate with warm-up, lighter dropout, no contrastive loss.
PRESETS: dict[str, dict[str, Any]] = {
    "db15k": {
        "num_visual_tokens": 8,
        "num_text_tokens": 4,
        "num_heads": 2,
        "structure_dropout": 0.6,
        "visual_dropout": 0.3,
        "text_dropout": 0.1,
        "contrastive_weight": 0.01,
        "learning_rate": 1e-3,
        "epochs": 1500,
        "schedule": "cosine-restarts",
        "step_size": 50,
        "validate_every": 50,
    },
    "mkg-w": {
        "num_visual_tokens": 8,
        "num_text_tokens": 8,
        "num_heads": 4,
        "num_decoder_layers": 2,
        "structure_dropout": 0.9,
        "visual_dropout": 0.4,
        "text_dropout": 0.1,
        "contrastive_weight": 0.001,
        "learning_rate": 5e-4,
        "epochs": 1500,
        "schedule": "cosine-restarts",
        "step_size": 50,
        "validate_every": 50,
    },
    "cpu": {
        "num_visual_tokens": 2,
        "num_text_tokens": 8,
        "num_heads": 2,
        "embedding_dim": 128,
        "feedforward_dim": 256,
        "structure_dropout": 0.4,
        "visual_dropout": 0.0,
        "text_dropout": 0.0,
        "dropout": 0.0,
        "tucker_input_dropout": 0.3,
        "tucker_matrix_dropout": 0.0,
        "tucker_output_dropout": 0.4,
        "batch_size": 2048,
        "learning_rate": 2e-3,
        "epochs": 60,
        "max_minutes": 27.0,
        "schedule": "one-cycle",
        "validate_every": 10,
        "precision": "auto",
    },
    "atlas": {
        "num_visual_tokens": 8,
        "num_text_tokens": 8,
        "num_heads": 2,
        "embedding_dim": 64,
        "feedforward_dim": 128,
        "structure_dropout": 0.3,
        "visual_dropout": 0.1,
        "text_dropout": 0.1,
        "tucker_input_dropout": 0.2,
        "tucker_matrix_dropout": 0.2,
        "tucker_output_dropout": 0.2,
        "batch_size": 512,
        "learning_rate": 3e-3,
        "epochs": 120,
        "schedule": "one-cycle",
        "validate_every": 20,
        # On a busy machine a second thread made a model this small several times slower.
        "threads": 1,
    },
    # Some thousand entities with pictures and short texts, on the CPU: many steps, for a modality is learned slowly.
    "emoji": {
        "num_visual_tokens": 8,
        "num_text_tokens": 8,
        "num_heads": 2,
        "embedding_dim": 64,
        "feedforward_dim": 128,
        "structure_dropout": 0.4,
        "visual_dropout": 0.0,
        "text_dropout": 0.0,
        "dropout": 0.0,
        "tucker_input_dropout": 0.3,
        "tucker_matrix_dropout": 0.0,
        "tucker_output_dropout": 0.4,
        "batch_size": 512,
        "learning_rate": 2e-3,
        "epochs": 60,
        "schedule": "one-cycle",
        "validate_every": 20,
        "threads": 1,
        "precision": "auto",
    },
}
