"""MKGformer's hybrid encoder: a BERT and a CLIP vision tower that see each other in the upper layers.

Parameter names are those of the official checkpoint, behind the prefix of each task's model. Tensors that the official
model never reads (spec, quirk 7) are kept, so that a checkpoint is written as it was read.

Shapes: B batch, T text tokens, N visual tokens, D hidden_dim, A heads, d = D / A.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import DataError
from ...registry import LINK_PREDICTION
from .config import AUX_POSITIONS, RCNN_POSITIONS, MKGformerConfig

# Added to the scores of padded text. The authors' value; every row has a token that is not padded.
PADDING_BIAS = -10000.0
TEXT_EPS, VISION_EPS = 1e-12, 1e-5


class Texts(NamedTuple):
    """Tokenised texts, int64 [B, T] each; mask 1 = token, 0 = padding; without types they are all 0."""

    input_ids: Tensor
    attention_mask: Tensor
    token_type_ids: Tensor | None = None


class Images(NamedTuple):
    """The images of B rows by group; a missing image is all zeros, an absent group None.

    Attributes:
        main: float [B, 3, image_size, image_size]; read by link prediction only.
        aux: float [B, M, 3, aux_image_size, aux_image_size].
        rcnn: float [B, M, 3, rcnn_image_size, rcnn_image_size].
    """

    main: Tensor | None = None
    aux: Tensor | None = None
    rcnn: Tensor | None = None


class Prefix(NamedTuple):
    """Keys and values of a text layer's self-attention, [B, A, T, d] each: what the next vision layer looks at too."""

    key: Tensor
    value: Tensor


class LayerOutputs(NamedTuple):
    """What one layer of both towers computes.

    Attributes:
        text: [B, T, D]; vision: [B, N, D].
        prefix: of this text layer.
        context: [B, T, D], text attention before its output projection; it asks the images.
        fusion: [B, T, D], what the images answer; None below the first fused layer.
    """

    text: Tensor
    vision: Tensor
    prefix: Prefix
    context: Tensor
    fusion: Tensor | None


class TextEmbeddings(nn.Module):
    """Word + token type + position, normalised (spec 3.1)."""

    position_ids: Tensor

    def __init__(self, config: MKGformerConfig) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocabulary_size, config.hidden_dim)
        self.position_embeddings = nn.Embedding(config.num_positions, config.hidden_dim)
        self.token_type_embeddings = nn.Embedding(config.num_token_types, config.hidden_dim)
        self.LayerNorm = nn.LayerNorm(config.hidden_dim, eps=TEXT_EPS)
        self.register_buffer("position_ids", torch.arange(config.num_positions)[None])
        self.rate = config.dropout
        for table in (self.word_embeddings, self.position_embeddings, self.token_type_embeddings):
            nn.init.normal_(table.weight, std=0.02)  # as in BERT

    def forward(self, input_ids: Tensor, token_type_ids: Tensor | None) -> Tensor:
        """[B, T, D]; padding does not shift positions."""
        types = torch.zeros_like(input_ids) if token_type_ids is None else token_type_ids
        positions = self.position_embeddings(self.position_ids[:, : input_ids.shape[1]])
        summed = self.word_embeddings(input_ids) + self.token_type_embeddings(types) + positions
        return F.dropout(self.LayerNorm(summed), self.rate, self.training)


class VisionEmbeddings(nn.Module):
    """Image patches as tokens (spec 3.2); one projection for all groups.

    Link prediction: patches of the main image, of aux, of rcnn; no class token, no positions. The other tasks: the
    class token, aux and rcnn patches with a position each; the main image is not used.
    """

    def __init__(self, config: MKGformerConfig) -> None:
        super().__init__()
        width, patch = config.hidden_dim, config.patch_size
        self.is_link_prediction = config.task == LINK_PREDICTION
        self.class_embedding = nn.Parameter(torch.randn(width) * width**-0.5)  # as in CLIP
        self.patch_embedding = nn.Conv2d(3, width, patch, stride=patch, bias=False)
        positions = (config.image_size // patch) ** 2 + 1
        for prefix, rows in (("", positions), ("aux_", AUX_POSITIONS), ("rcnn_", RCNN_POSITIONS)):
            self.add_module(f"{prefix}position_embedding", nn.Embedding(rows, width))
            self.register_buffer(f"{prefix}position_ids", torch.arange(rows)[None])

    def forward(self, images: Images, batch: int) -> Tensor:
        """[B, N, D].

        Raises:
            DataError: a group has another number of patches than positions (not in link prediction).
        """
        if self.is_link_prediction:
            return torch.cat([self.patches(group) for group in images if group is not None], dim=1)
        tokens = [self.class_embedding.expand(batch, 1, -1)]
        for group, name in ((images.aux, "aux"), (images.rcnn, "rcnn")):
            if group is not None:
                tokens.append(self._with_positions(self.patches(group), name))
        return torch.cat(tokens, dim=1)

    def patches(self, pixels: Tensor) -> Tensor:
        """[B, images * patches, D], image after image, row by row; pixels [B, 3, s, s] or [B, images, 3, s, s]."""
        weight = self.patch_embedding.weight
        flat = pixels.flatten(0, -4).to(weight.dtype)
        found = F.conv2d(flat, weight, stride=self.patch_embedding.stride).flatten(2).transpose(1, 2)
        return found.reshape(len(pixels), -1, found.shape[-1])

    def _with_positions(self, patches: Tensor, name: str) -> Tensor:
        positions = self.get_parameter(f"{name}_position_embedding.weight")
        if patches.shape[1] != len(positions):
            raise DataError(
                f"the {name} images make {patches.shape[1]} patches; expected {len(positions)}, one per position. "
                f"Check the number and size of the {name} images."
            )
        return patches + positions


class VisionAttention(nn.Module):
    """Self-attention of the vision tower, which a prefix of text keys and values may extend (PGI, spec 4.1)."""

    def __init__(self, config: MKGformerConfig) -> None:
        super().__init__()
        width = config.hidden_dim
        self.heads = config.num_heads
        self.q_proj, self.k_proj = nn.Linear(width, width), nn.Linear(width, width)
        self.v_proj, self.out_proj = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor, prefix: Prefix | None, prefix_bias: Tensor | None) -> Tensor:
        query, key, value = (split_heads(part(x), self.heads) for part in (self.q_proj, self.k_proj, self.v_proj))
        bias = None
        if prefix is not None:
            if prefix_bias is not None:
                bias = F.pad(prefix_bias, (0, key.shape[2]))
            key, value = torch.cat([prefix.key, key], dim=2), torch.cat([prefix.value, value], dim=2)
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        return self.out_proj(merge_heads(attended))  # type: ignore[no-any-return]


class VisionLayer(nn.Module):
    """One pre-norm layer with quick-GELU."""

    def __init__(self, config: MKGformerConfig) -> None:
        super().__init__()
        width, hidden = config.hidden_dim, config.vision_feedforward_dim
        self.self_attn = VisionAttention(config)
        self.layer_norm1 = nn.LayerNorm(width, eps=VISION_EPS)
        self.layer_norm2 = nn.LayerNorm(width, eps=VISION_EPS)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, hidden), "fc2": nn.Linear(hidden, width)})

    def forward(self, vision: Tensor, prefix: Prefix | None = None, prefix_bias: Tensor | None = None) -> Tensor:
        """[B, N, D].

        Args:
            vision: [B, N, D].
            prefix: of the text layer below; every position counts, padding too, unless there is a `prefix_bias`.
            prefix_bias: [B, 1, 1, T], added to the scores of the prefix.
        """
        vision = vision + self.self_attn(self.layer_norm1(vision), prefix, prefix_bias)
        hidden: Tensor = self.mlp["fc1"](self.layer_norm2(vision))
        return vision + self.mlp["fc2"](quick_gelu(hidden))  # type: ignore[no-any-return]


class TextAttention(nn.Module):
    """Queries, keys and values of a text layer."""

    def __init__(self, config: MKGformerConfig) -> None:
        super().__init__()
        width = config.hidden_dim
        self.heads, self.rate = config.num_heads, config.attention_dropout
        self.query, self.key, self.value = nn.Linear(width, width), nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, text: Tensor, bias: Tensor) -> tuple[Tensor, Prefix]:
        query, key, value = (split_heads(part(text), self.heads) for part in (self.query, self.key, self.value))
        rate = self.rate if self.training else 0.0
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=bias, dropout_p=rate)
        return merge_heads(attended), Prefix(key, value)


class TextOutput(nn.Module):
    """Projection, dropout, residual, norm."""

    def __init__(self, inputs: int, config: MKGformerConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(inputs, config.hidden_dim)
        self.LayerNorm = nn.LayerNorm(config.hidden_dim, eps=TEXT_EPS)
        self.rate = config.dropout

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        projected = F.dropout(self.dense(x), self.rate, self.training)
        return self.LayerNorm(residual + projected)  # type: ignore[no-any-return]


class TextLayer(nn.Module):
    """One post-norm layer with GELU, which may take up what the images answer (CAF, spec 4.2)."""

    def __init__(self, config: MKGformerConfig) -> None:
        super().__init__()
        width, hidden = config.hidden_dim, config.text_feedforward_dim
        self.attention = nn.ModuleDict({"self": TextAttention(config), "output": TextOutput(width, config)})
        # fusion_dense is in the checkpoint for every layer, and used in the fused ones.
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(width, hidden), "fusion_dense": nn.Linear(width, hidden)})
        self.output = TextOutput(hidden, config)

    def forward(self, text: Tensor, bias: Tensor, vision: Tensor, *, fused: bool) -> LayerOutputs:
        """All that this layer computes.

        Args:
            text: [B, T, D].
            bias: [B, 1, 1, T], PADDING_BIAS on padding, else 0.
            vision: [B, N, D], output of the vision layer of the same number.
        """
        context, prefix = self.attention["self"](text, bias)
        attended = self.attention["output"](context, text)
        hidden = self.intermediate["dense"](attended)
        fusion = correlation_aware_fusion(context, vision) if fused else None
        if fusion is not None:
            hidden = hidden + self.intermediate["fusion_dense"](fusion)
        return LayerOutputs(self.output(F.gelu(hidden), attended), vision, prefix, context, fusion)


class Layers(nn.Module):
    """The layers of both towers; those below `fusion_start_layer` are independent of each other."""

    def __init__(self, config: MKGformerConfig) -> None:
        super().__init__()
        self.fusion_start_layer, self.mask_prefix = config.fusion_start_layer, config.mask_prefix
        self.vision_layers = nn.ModuleList(VisionLayer(config) for _ in range(config.num_layers))
        self.text_layer = nn.ModuleList(TextLayer(config) for _ in range(config.num_layers))

    def forward(self, text: Tensor, vision: Tensor, attention_mask: Tensor) -> Iterator[LayerOutputs]:
        """Layer after layer: vision first, with the prefix of the text layer below.

        Args:
            text: [B, T, D], vision: [B, N, D], as `HybridEncoder.embed` gives them.
            attention_mask: int64 [B, T].
        """
        bias = padding_bias(attention_mask, text.dtype)
        prefix: Prefix | None = None
        for number, (vision_layer, text_layer) in enumerate(zip(self.vision_layers, self.text_layer, strict=True)):
            fused = number >= self.fusion_start_layer
            vision = vision_layer(vision, prefix if fused else None, bias if self.mask_prefix else None)
            outputs: LayerOutputs = text_layer(text, bias, vision, fused=fused)
            text, prefix = outputs.text, outputs.prefix
            yield outputs


class HybridEncoder(nn.Module):
    """Embeddings and layers of both towers."""

    def __init__(self, config: MKGformerConfig) -> None:
        super().__init__()
        width = config.hidden_dim
        self.vision_embeddings = VisionEmbeddings(config)
        self.vision_pre_layrnorm = nn.LayerNorm(width, eps=VISION_EPS)
        self.vision_post_layernorm = nn.LayerNorm(width, eps=VISION_EPS)
        self.text_embeddings = TextEmbeddings(config)
        self.text_pooler = nn.ModuleDict({"dense": nn.Linear(width, width)})
        self.encoder = Layers(config)

    def forward(self, texts: Texts, images: Images) -> Tensor:
        """[B, T, D]: the text tower's output."""
        text, vision = self.embed(texts, images)
        for outputs in self.encoder(text, vision, texts.attention_mask):
            text = outputs.text
        return text

    def embed(self, texts: Texts, images: Images) -> tuple[Tensor, Tensor]:
        """What enters the first layers: text [B, T, D] and vision [B, N, D], both normalised."""
        tokens = self.vision_embeddings(images, len(texts.input_ids))
        return self.text_embeddings(texts.input_ids, texts.token_type_ids), self.vision_pre_layrnorm(tokens)

    def pooler_output(self, text: Tensor) -> Tensor:
        """[B, D]: the first token of the output, as BERT pools it; no task reads it."""
        return torch.tanh(self.text_pooler["dense"](text[:, 0]))


def padding_bias(attention_mask: Tensor, dtype: torch.dtype) -> Tensor:
    """[B, 1, 1, T]: PADDING_BIAS on padding, else 0."""
    return (1 - attention_mask[:, None, None, :].to(dtype)) * PADDING_BIAS


def correlation_aware_fusion(context: Tensor, vision: Tensor) -> Tensor:
    """[B, T, D]: softmax(context vision^T) vision; one head, not scaled, not masked, no weights."""
    return torch.matmul(torch.matmul(context, vision.transpose(1, 2)).softmax(dim=-1), vision)


def quick_gelu(x: Tensor) -> Tensor:
    """CLIP's x * sigmoid(1.702 x)."""
    return x * torch.sigmoid(1.702 * x)


def split_heads(x: Tensor, heads: int) -> Tensor:
    """[B, n, D] -> [B, heads, n, D / heads]."""
    batch, length, width = x.shape
    return x.view(batch, length, heads, width // heads).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """[B, heads, n, D / heads] -> [B, n, D]."""
    return x.transpose(1, 2).flatten(2)


def rows_at(hidden: Tensor, positions: Tensor) -> Tensor:
    """[B, n, D]: the states at some positions, int64 [B, n], of hidden [B, T, D]."""
    return hidden.gather(1, positions[:, :, None].expand(-1, -1, hidden.shape[2]))


def position_of(input_ids: Tensor, token: int) -> Tensor:
    """int64 [B]: where each row has a token that it has once, which `check_once` ensures of ids on the CPU.

    Here it would stop a GPU, and with it every step of a training.
    """
    return (input_ids == token).long().argmax(dim=1)


def check_once(input_ids: Tensor, token: int, name: str) -> None:
    """Whether every row has a token exactly once.

    Raises:
        DataError: a row has none or several.
    """
    counts = (input_ids == token).sum(dim=1)
    if (counts != 1).any():
        row = int((counts != 1).nonzero()[0])
        raise DataError(
            f"row {row} has {int(counts[row])} times {name} (token {token}); expected exactly one. The text may have "
            "been truncated before it; use a larger max_length or a shorter text."
        )
