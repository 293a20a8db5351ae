"""MKGformer for relation extraction and entity recognition: the hybrid encoder under a classifier, or under a CRF.

Parameter names are those of the official checkpoint.

Shapes: B batch, T text tokens, D hidden_dim, C num_labels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import MKGformerConfig
from ..encoder import HybridEncoder, Images, Texts, check_once, position_of, rows_at
from .crf import CRF


class RelationExtractor(nn.Module):
    """Relation extraction: a classifier on the states at the markers <s> and <o> (spec 7)."""

    def __init__(self, config: MKGformerConfig) -> None:
        super().__init__()
        assert config.num_labels is not None
        self.config = config
        self.model = HybridEncoder(config)
        self.classifier = nn.Linear(2 * config.hidden_dim, config.num_labels)

    @property
    def encoder(self) -> HybridEncoder:
        return self.model

    def forward(self, texts: Texts, images: Images) -> Tensor:
        """[B, C]: a score for each relation; higher is better."""
        return self.classifier(self.pair_states(texts, images))  # type: ignore[no-any-return]

    def pair_states(self, texts: Texts, images: Images) -> Tensor:
        """[B, 2 D]: the encoder's output at <s>, then at <o>."""
        return rows_at(self.encoder(texts, images), self.marker_positions(texts.input_ids)).flatten(1)

    def marker_positions(self, input_ids: Tensor) -> Tensor:
        """int64 [B, 2]: where <s> and <o> stand, in texts that `check_texts` passes."""
        head = self.config.base_vocabulary_size
        return torch.stack([position_of(input_ids, token) for token in (head, head + 2)], dim=1)

    def check_texts(self, input_ids: Tensor) -> None:
        """Whether each of the texts, int64 [B, T] on the CPU, has both markers once.

        Raises:
            DataError: a row has none or several of one; long sentences lose markers by truncation.
        """
        head = self.config.base_vocabulary_size
        for token, name in ((head, "<s>"), (head + 2, "<o>")):
            check_once(input_ids, token, name)


class EntityTagger(nn.Module):
    """Entity recognition: a tag for every word piece, decided together by a CRF (spec 8)."""

    def __init__(self, config: MKGformerConfig) -> None:
        super().__init__()
        assert config.num_labels is not None
        self.config = config
        self.model = HybridEncoder(config)
        self.fc = nn.Linear(config.hidden_dim, config.num_labels)
        self.crf = CRF(config.num_labels)

    @property
    def encoder(self) -> HybridEncoder:
        return self.model

    def forward(self, texts: Texts, images: Images) -> Tensor:
        """[B, T, C]: the emissions, which the CRF reads."""
        hidden = F.dropout(self.encoder(texts, images), self.config.dropout, self.training)
        return self.fc(hidden)  # type: ignore[no-any-return]

    def check_texts(self, input_ids: Tensor) -> None:
        """Every text will do: a tag belongs to each of its tokens."""

    def tags(self, texts: Texts, images: Images) -> Tensor:
        """int64 [B, T]: the best sequence of tags, -1 on padding."""
        return self.crf.decode(self(texts, images), texts.attention_mask)
