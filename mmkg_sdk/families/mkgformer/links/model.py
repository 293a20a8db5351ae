"""MKGformer for link prediction: the hybrid encoder under BERT's masked language model head.

Parameter names are those of the official checkpoint.

Shapes: B batch, T text tokens, D hidden_dim, V vocabulary_size, E num_entities.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import MKGformerConfig
from ..encoder import TEXT_EPS, HybridEncoder, Images, Texts, check_once, position_of, rows_at


class MaskedLMHead(nn.Module):
    """BERT's masked language model head; its decoder is the word table itself (spec 6.1)."""

    bias: nn.Parameter

    def __init__(self, config: MKGformerConfig, words: nn.Embedding) -> None:
        super().__init__()
        width = config.hidden_dim
        self.bias = nn.Parameter(torch.zeros(config.vocabulary_size))
        self.transform = nn.ModuleDict(
            {"dense": nn.Linear(width, width), "LayerNorm": nn.LayerNorm(width, eps=TEXT_EPS)}
        )
        # On "meta", because both of its tensors are replaced: the checkpoint stores each of them under two names.
        self.decoder = nn.Linear(width, config.vocabulary_size, device="meta")
        self.decoder.weight, self.decoder.bias = words.weight, self.bias

    def features(self, hidden: Tensor) -> Tensor:
        """[..., D]: what is multiplied with the word table; hidden [..., D]."""
        return self.transform["LayerNorm"](F.gelu(self.transform["dense"](hidden)))  # type: ignore[no-any-return]

    def forward(self, hidden: Tensor) -> Tensor:
        """[..., V]: a score for each token of the vocabulary."""
        return self.decoder(self.features(hidden))  # type: ignore[no-any-return]


class LinkPredictor(nn.Module):
    """Link prediction: the masked language model fills in the missing entity's token."""

    def __init__(self, config: MKGformerConfig) -> None:
        super().__init__()
        self.config = config
        encoder = HybridEncoder(config)
        head = MaskedLMHead(config, encoder.text_embeddings.word_embeddings)
        self.model = nn.ModuleDict({"unimo": encoder, "cls": nn.ModuleDict({"predictions": head})})

    @property
    def encoder(self) -> HybridEncoder:
        return self.model["unimo"]  # type: ignore[return-value]

    @property
    def head(self) -> MaskedLMHead:
        return self.model["cls"]["predictions"]  # type: ignore[index, no-any-return]

    def forward(self, texts: Texts, images: Images) -> Tensor:
        """[B, E]: a score for each entity at the mask; higher is better."""
        return self.query_vectors(texts, images) @ self.entity_table().T

    def query_vectors(self, texts: Texts, images: Images) -> Tensor:
        """[B, D + 1]: what is multiplied with the entity table; the last number is 1 and picks up the bias."""
        hidden = self.encoder(texts, images)
        at_mask = rows_at(hidden, self.mask_positions(texts.input_ids)[:, None])[:, 0]
        return F.pad(self.head.features(at_mask), (0, 1), value=1.0)

    def entity_table(self) -> Tensor:
        """[E, D + 1]: the entities' rows of the word table, each with its bias behind."""
        assert self.config.num_entities is not None
        start = self.config.base_vocabulary_size
        rows = slice(start, start + self.config.num_entities)
        words = self.encoder.text_embeddings.word_embeddings.weight
        return torch.cat([words[rows], self.head.bias[rows, None]], dim=1)

    def mask_positions(self, input_ids: Tensor) -> Tensor:
        """int64 [B]: where [MASK] stands, in texts that `check_texts` passes."""
        return position_of(input_ids, self.config.mask_token_id)

    def check_texts(self, input_ids: Tensor) -> None:
        """Whether each of the texts, int64 [B, T] on the CPU, has one [MASK].

        Raises:
            DataError: a row has none or several.
        """
        check_once(input_ids, self.config.mask_token_id, "[MASK]")
