"""CLIP's two towers as they are exported: weights that are multiplied may be half precision, the rest is float32."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..exported import Linear, Norm, linear
from .model import Mimic

# Large enough that exp() gives exactly 0, small enough that two of them add up in every float32 kernel.
_MASKED = -1e30


class TextEncoder(nn.Module):
    """CLIP's text tower, its joint-space vector of length 1, and its final states."""

    def __init__(self, model: Mimic) -> None:
        super().__init__()
        tower, length = model.encoder.clip.text_model, model.config.text_length
        self.multiplied_tokens = nn.Buffer(tower.embeddings.token_embedding.weight.detach())
        self.positions = nn.Buffer(tower.embeddings.position_embedding.weight.detach()[:length].clone())
        self.future = nn.Buffer(self.positions.new_full((length, length), _MASKED).triu(1))
        self.to_end = nn.Buffer(torch.arange(length, 0, -1, device=self.positions.device).float())
        self.layers = nn.ModuleList(_Layer(layer) for layer in tower.encoder.layers)
        self.norm = Norm(tower.final_layer_norm)
        self.projection = linear(model.encoder.clip.text_projection)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        states = F.embedding(input_ids, self.multiplied_tokens).float() + self.positions
        bias = self.future + torch.where(attention_mask > 0, 0.0, _MASKED)[:, None, None, :]
        for layer in self.layers:
            states = layer(states, bias)
        tokens = self.norm(states)
        pooled = torch.matmul(self._end(input_ids)[:, None], tokens)[:, 0]
        return F.normalize(self.projection(pooled), dim=-1, eps=0.0), tokens

    def _end(self, input_ids: Tensor) -> Tensor:
        """float32 [batch, L], 1 at the first of the largest ids: runtimes differ in which of equals arg-max takes."""
        ids = input_ids.float()
        order = torch.where(ids == ids.amax(dim=1, keepdim=True), self.to_end, 0.0)
        return (order == order.amax(dim=1, keepdim=True)).float()


class ImageEncoder(nn.Module):
    """CLIP's vision tower and the two projections behind it."""

    def __init__(self, model: Mimic) -> None:
        super().__init__()
        tower, config = model.encoder.clip.vision_model, model.config
        self.patch, self.patches_per_side = config.patch_size, config.image_size // config.patch_size
        positions = tower.embeddings.position_embedding.weight.detach()
        weight = tower.embeddings.patch_embedding.weight.detach().flatten(1)
        self.patches = Linear(weight, weight.new_zeros(len(weight)))
        self.class_token = nn.Buffer(tower.embeddings.class_embedding.detach() + positions[0])
        self.positions = nn.Buffer(positions[1:].clone())
        self.norm, self.class_norm = Norm(tower.pre_layrnorm), Norm(tower.post_layernorm)
        self.layers = nn.ModuleList(_Layer(layer) for layer in tower.encoder.layers)
        self.projection = linear(model.encoder.clip.visual_projection)
        self.image, self.tokens = linear(model.encoder.image_cls_fc), linear(model.encoder.image_tokens_fc)

    def forward(self, pixel_values: Tensor) -> tuple[Tensor, Tensor]:
        side, patch = self.patches_per_side, self.patch
        # A convolution whose stride is its width is a matrix product of its patches.
        squares = pixel_values.view(-1, 3, side, patch, side, patch).permute(0, 2, 4, 1, 3, 5)
        patches = self.patches(squares.reshape(-1, side * side, 3 * patch * patch)) + self.positions
        first = self.class_token + torch.zeros_like(patches[:, :1])
        states = self.norm(torch.cat([first, patches], dim=1))
        for layer in self.layers:
            states = layer(states)
        joint = F.normalize(self.projection(self.class_norm(states[:, 0])), dim=-1, eps=0.0)
        return self.image(joint), self.tokens(states)


class _Layer(nn.Module):
    """One layer of a CLIP tower: norms before attention and feed-forward, both added to what came in."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        attention = layer.self_attn
        self.heads, scale = attention.num_heads, attention.head_dim**-0.5
        projections = (attention.q_proj, attention.k_proj, attention.v_proj)
        weights, biases = [p.weight for p in projections], [p.bias for p in projections]
        self.projections = Linear(
            torch.cat([weights[0] * scale, *weights[1:]]), torch.cat([biases[0] * scale, *biases[1:]])
        )
        self.output = linear(attention.out_proj)
        self.hidden, self.feedforward = linear(layer.mlp.fc1), linear(layer.mlp.fc2)
        self.norm1, self.norm2 = Norm(layer.layer_norm1), Norm(layer.layer_norm2)

    def forward(self, states: Tensor, bias: Tensor | None = None) -> Tensor:
        _, positions, width = states.shape
        projected = self.projections(self.norm1(states)).to(self.projections.multiplied_weight.dtype)
        query, key, value = projected.view(-1, positions, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        logits = torch.matmul(query, key.transpose(2, 3)).float()
        weights = (logits if bias is None else logits + bias).softmax(dim=-1)
        found = torch.matmul(weights.to(value.dtype), value).float().transpose(1, 2).flatten(2)
        states = states + self.output(found)
        hidden = self.hidden(self.norm2(states))
        return states + self.feedforward(hidden * torch.sigmoid(1.702 * hidden))  # type: ignore[no-any-return]
