"""The layers of both towers as they are exported: only weights that are multiplied may be half precision.

Shapes: B batch, T text tokens, P of them that are read, N visual tokens, D hidden_dim, A heads, d = D / A.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..exported import Linear, Norm, linear
from . import encoder
from .encoder import correlation_aware_fusion, merge_heads, quick_gelu, rows_at, split_heads


class Attention(nn.Module):
    """Queries, scaled in advance; keys and values in one product; and what softmax makes of them."""

    def __init__(self, query: nn.Linear, key: nn.Linear, value: nn.Linear, heads: int) -> None:
        super().__init__()
        self.heads, scale = heads, (query.out_features // heads) ** -0.5
        self.query = Linear(query.weight * scale, query.bias * scale)
        self.key_value = Linear(torch.cat([key.weight, value.weight]), torch.cat([key.bias, value.bias]))

    def keys_and_values(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[B, A, n, d] each, in the graph's precision; x [B, n, D]."""
        key, value = self.key_value(x).to(self.query.multiplied_weight.dtype).chunk(2, dim=-1)
        return split_heads(key, self.heads), split_heads(value, self.heads)

    def forward(self, x: Tensor, key: Tensor, value: Tensor, bias: Tensor | None) -> Tensor:
        """float32 [B, n, D]: what x [B, n, D] finds among keys and values; bias [B, 1, 1, keys]."""
        query = split_heads(self.query(x).to(key.dtype), self.heads)
        logits = torch.matmul(query, key.transpose(2, 3)).float()
        weights = (logits if bias is None else logits + bias).softmax(dim=-1)
        return merge_heads(torch.matmul(weights.to(value.dtype), value).float())


class VisionLayer(nn.Module):
    """One vision layer; with a prefix, the text's keys and values come first (PGI)."""

    def __init__(self, layer: encoder.VisionLayer) -> None:
        super().__init__()
        own = layer.self_attn
        self.attention = Attention(own.q_proj, own.k_proj, own.v_proj, own.heads)
        self.output, self.hidden, self.feedforward = map(linear, (own.out_proj, layer.mlp["fc1"], layer.mlp["fc2"]))
        self.norm1, self.norm2 = Norm(layer.layer_norm1), Norm(layer.layer_norm2)

    def forward(
        self, vision: Tensor, prefix: tuple[Tensor, Tensor] | None = None, prefix_bias: Tensor | None = None
    ) -> Tensor:
        x, bias = self.norm1(vision), None
        key, value = self.attention.keys_and_values(x)
        if prefix is not None:
            if prefix_bias is not None:
                bias = torch.cat([prefix_bias, torch.zeros_like(vision[:, None, None, :, 0])], dim=-1)
            key, value = torch.cat([prefix[0], key], dim=2), torch.cat([prefix[1], value], dim=2)
        vision = vision + self.output(self.attention(x, key, value, bias))
        return vision + self.feedforward(quick_gelu(self.hidden(self.norm2(vision))))  # type: ignore[no-any-return]


class TextLayer(nn.Module):
    """One text layer for all positions or for those that are read; with `fused`, it asks the images (CAF).

    CAF stays float32: its scores are neither scaled nor normalised, and half precision would decide its softmax.
    """

    def __init__(self, layer: encoder.TextLayer, *, fused: bool) -> None:
        super().__init__()
        attention: Any = layer.attention
        own = attention["self"]
        self.attention = Attention(own.query, own.key, own.value, own.heads)
        self.output, self.norm1 = linear(attention["output"].dense), Norm(attention["output"].LayerNorm)
        self.hidden = linear(layer.intermediate["dense"])
        self.fusion = linear(layer.intermediate["fusion_dense"]) if fused else None
        self.feedforward, self.norm2 = linear(layer.output.dense), Norm(layer.output.LayerNorm)

    def forward(
        self, text: Tensor, bias: Tensor, vision: Tensor, positions: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """The output at `positions`, int64 [B, P], or everywhere; and the prefix of the next vision layer."""
        prefix = self.attention.keys_and_values(text)
        text = text if positions is None else rows_at(text, positions)
        context = self.attention(text, *prefix, bias)
        text = self.norm1(text + self.output(context))
        hidden = self.hidden(text)
        if self.fusion is not None:
            hidden = hidden + self.fusion(correlation_aware_fusion(context, vision))
        return self.norm2(text + self.feedforward(F.gelu(hidden))), prefix


class TextEmbeddings(nn.Module):
    """Word + token type + position, normalised; without token types, the first is part of the positions."""

    def __init__(self, embeddings: encoder.TextEmbeddings, max_length: int, *, with_types: bool) -> None:
        super().__init__()
        positions = embeddings.position_embeddings.weight.detach()[:max_length].clone()
        types = embeddings.token_type_embeddings.weight.detach()
        self.multiplied_words = nn.Buffer(embeddings.word_embeddings.weight.detach())
        self.positions = nn.Buffer(positions if with_types else positions + types[0])
        self.types = nn.Buffer(types) if with_types else None
        self.norm = Norm(embeddings.LayerNorm)

    def forward(self, input_ids: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        summed = F.embedding(input_ids, self.multiplied_words).float() + self.positions[: input_ids.shape[1]]
        if self.types is not None and token_type_ids is not None:
            summed = summed + F.embedding(token_type_ids, self.types)
        return self.norm(summed)  # type: ignore[no-any-return]
