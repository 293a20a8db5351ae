"""MIMIC in torch: CLIP's two towers, and three units that score a mention against an entity.

Parameter names are those of the official checkpoint. The matcher has the plain form of the paper, pair by pair;
graphs.py has the same numbers with less work.

Shapes: B mentions, E entities, n either of them, L text_length, P image tokens (the class token first), H text_width,
dv image_feature_dim.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...errors import DataError, missing_package
from .config import ACTIVATION, NORM_EPS, UNITS, MimicConfig, clip_sizes

# Nothing besides the weights is needed.
INPUT_NAMES: tuple[str, ...] = ()


class Encoded(NamedTuple):
    """What the encoder gives for n mentions or entities.

    Attributes:
        text: [n, H], of length 1; image: [n, dv].
        text_tokens: [n, L, H], padding included; image_tokens: [n, P, dv].
    """

    text: Tensor
    image: Tensor
    text_tokens: Tensor
    image_tokens: Tensor


class Scores(NamedTuple):
    """[B, E] each, higher is better; `overall` is the mean of the other three."""

    overall: Tensor
    text: Tensor
    image: Tensor
    image_text: Tensor


class Encoder(nn.Module):
    """CLIP, and two projections of its image side to the width of the units."""

    def __init__(self, config: MimicConfig) -> None:
        super().__init__()
        self.clip = _clip(config)
        self.image_cls_fc = nn.Linear(config.text_width, config.image_feature_dim)
        self.image_tokens_fc = nn.Linear(config.image_width, config.image_feature_dim)

    def clip_text(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Joint-space vector of length 1 [n, H] and final states [n, L, H]; input_ids, attention_mask int64 [n, L]."""
        mask = attention_mask
        if mask.device.type != "cpu" and _takes_pair_masks():
            mask = pair_mask(mask)
        states = self.clip.text_model(input_ids=input_ids, attention_mask=mask)
        return _unit_length(self.clip.text_projection(states.pooler_output)), states.last_hidden_state

    def clip_image(self, pixel_values: Tensor) -> tuple[Tensor, Tensor]:
        """Joint-space vector of length 1 [n, H] and states before the last norm [n, P, image_width].

        Args:
            pixel_values: [n, 3, image_size, image_size]; all zero where there is no image.
        """
        states = self.clip.vision_model(pixel_values=pixel_values)
        return _unit_length(self.clip.visual_projection(states.pooler_output)), states.last_hidden_state

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, pixel_values: Tensor, image_of: Tensor | None = None
    ) -> Encoded:
        """Both sides of n items.

        Args:
            image_of: int64 [n], the image of each item, where several share one (most have none, an image of zeros,
                and the image tower is the larger one); None = item i has image i.
        """
        text, text_tokens = self.clip_text(input_ids, attention_mask)
        image, image_tokens = self.clip_image(pixel_values)
        image, image_tokens = self.image_cls_fc(image), self.image_tokens_fc(image_tokens)
        if image_of is not None:
            image, image_tokens = image[image_of], image_tokens[image_of]
        return Encoded(text, image, text_tokens, image_tokens)


class TextUnit(nn.Module):
    """TGLU, text-based global-local unit: joint-space vectors, and the entity's tokens attending to the mention's.

    The padding takes part: the authors' code has no mask here.
    """

    def __init__(self, config: MimicConfig) -> None:
        super().__init__()
        width, dim = config.text_width, config.text_unit_dim
        self.fc_query, self.fc_key = nn.Linear(width, dim), nn.Linear(width, dim)
        self.fc_value, self.fc_cls = nn.Linear(width, dim), nn.Linear(width, dim)
        self.layer_norm = nn.LayerNorm(dim)

    def context(self, mention_tokens: Tensor, entity_tokens: Tensor) -> Tensor:
        """[E, B, text_unit_dim]: what the entity's tokens find in the mention's, averaged over the entity's.

        The attention is averaged before it finds anything: the same sum, and half the work.
        """
        queries, keys = self.fc_query(entity_tokens), self.fc_key(mention_tokens)
        queries = queries / math.sqrt(queries.shape[-1])  # before the product, which is larger
        # As the product gives it, positions of the entity outermost: no copy in another order.
        logits = (queries.flatten(0, 1) @ keys.flatten(0, 1).T).view(*queries.shape[:2], *keys.shape[:2])
        attention = logits.softmax(dim=-1).mean(dim=1)
        found = torch.einsum("ebk,bkd->ebd", attention, self.fc_value(mention_tokens))
        normed: Tensor = self.layer_norm(found)
        return normed

    def local_scores(self, mention: Encoded, entity: Encoded) -> Tensor:
        """[B, E]."""
        context = self.context(mention.text_tokens, entity.text_tokens)
        return torch.einsum("ed,ebd->be", self.fc_cls(entity.text), context)

    def forward(self, mention: Encoded, entity: Encoded) -> Tensor:
        return (self.local_scores(mention, entity) + mention.text @ entity.text.T) / 2


class DualUnit(nn.Module):
    """One direction of VDLU: the query side's class vector against the key side's patches, through a gate."""

    def __init__(self, config: MimicConfig) -> None:
        super().__init__()
        dim = config.image_unit_dim
        self.cls_fc = nn.Linear(config.image_feature_dim, dim)
        self.tokens_fc = nn.Linear(config.image_feature_dim, dim)
        self.fc, self.gate_fc = nn.Linear(dim, dim), nn.Linear(dim, 1)
        self.add_layer_norm, self.layer_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)

    def forward(self, query: Tensor, key: Tensor, key_tokens: Tensor) -> Tensor:
        """[a, b] from query [a, dv], key [b, dv] and key_tokens [b, P, dv]."""
        query, key = self.cls_fc(query)[:, None], self.cls_fc(key)
        patches = self.tokens_fc(key_tokens).mean(dim=1)
        context = self.fc(self.add_layer_norm(patches + query))
        value = self.layer_norm(torch.tanh(self.gate_fc(context)) * context + key)
        scores: Tensor = (value * self.layer_norm(query)).sum(dim=-1)
        return scores


class ImageUnit(nn.Module):
    """VDLU, vision-based dual unit: both directions, each with weights of its own."""

    def __init__(self, config: MimicConfig) -> None:
        super().__init__()
        self.dual_ent2men, self.dual_men2ent = DualUnit(config), DualUnit(config)

    def forward(self, mention: Encoded, entity: Encoded) -> Tensor:
        by_entity: Tensor = self.dual_ent2men(entity.image, mention.image, mention.image_tokens)
        by_mention: Tensor = self.dual_men2ent(mention.image, entity.image, entity.image_tokens)
        return (by_entity.T + by_mention) / 2


class CrossModalUnit(nn.Module):
    """CMFU, cross-modal fusion unit: each side's text attends to its own patches."""

    def __init__(self, config: MimicConfig) -> None:
        super().__init__()
        dim = config.cross_modal_unit_dim
        self.text_fc, self.image_fc = nn.Linear(config.text_width, dim), nn.Linear(config.image_feature_dim, dim)
        self.gate_fc, self.gate_layer_norm = nn.Linear(dim, 1), nn.LayerNorm(dim)
        # In every checkpoint, and never used.
        self.context_layer_norm = nn.LayerNorm(dim).requires_grad_(False)

    def fuse(self, side: Encoded) -> Tensor:
        """[n, cross_modal_unit_dim]; the attention is not scaled."""
        text, patches = self.text_fc(side.text), self.image_fc(side.image_tokens)
        weights = torch.einsum("npd,nd->np", patches, text).softmax(dim=-1)
        found = torch.einsum("np,npd->nd", weights, patches)
        fused: Tensor = self.gate_layer_norm(torch.tanh(self.gate_fc(text)) * text + found)
        return fused

    def forward(self, mention: Encoded, entity: Encoded) -> Tensor:
        return self.fuse(mention) @ self.fuse(entity).T


class Matcher(nn.Module):
    """The three units behind four norms that mentions and entities share."""

    def __init__(self, config: MimicConfig) -> None:
        super().__init__()
        self.text_cls_layernorm = nn.LayerNorm(config.text_width)
        self.text_tokens_layernorm = nn.LayerNorm(config.text_width)
        self.image_cls_layernorm = nn.LayerNorm(config.image_feature_dim)
        self.image_tokens_layernorm = nn.LayerNorm(config.image_feature_dim)
        self.tglu, self.vdlu, self.cmfu = TextUnit(config), ImageUnit(config), CrossModalUnit(config)
        self.without_unit = config.without_unit

    def normed(self, side: Encoded) -> Encoded:
        """One side as the units see it. Norms undo a length of 1 only up to their epsilon, so both are needed."""
        return Encoded(
            self.text_cls_layernorm(side.text),
            self.image_cls_layernorm(side.image),
            self.text_tokens_layernorm(side.text_tokens),
            self.image_tokens_layernorm(side.image_tokens),
        )

    def forward(self, mention: Encoded, entity: Encoded) -> Scores:
        """Every mention against every entity; memory grows with B * E * L * L."""
        mention, entity = self.normed(mention), self.normed(entity)
        units = dict(zip(UNITS, (self.tglu, self.vdlu, self.cmfu), strict=True))
        parts = {name: unit(mention, entity) for name, unit in units.items()}
        if self.without_unit:
            parts[self.without_unit] = parts[self.without_unit] * 0.0  # its weights have gradients, of 0
        return Scores(sum(parts.values()) / 3, **parts)


class Mimic(nn.Module):
    """The whole model."""

    def __init__(self, config: MimicConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.matcher = Matcher(config)


def build(config: dict[str, Any], inputs: Mapping[str, NDArray[Any]]) -> Mimic:
    """The model of a run's configuration, with fresh weights; `inputs` is empty."""
    return Mimic(MimicConfig.from_json(config))


def pretrained_clip(source: str | Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """A CLIP model to begin the training with.

    Args:
        source: a folder that transformers wrote, or a name on the Hugging Face hub such as
            "openai/clip-vit-base-patch32".

    Returns:
        The settings of MimicConfig that it decides, and its weights by the model's parameter names.

    Raises:
        DataError: there is no such model, or it lacks weights, or is no CLIP that MIMIC can use.
    """
    transformers = _transformers()
    try:
        clip, told = transformers.CLIPModel.from_pretrained(source, output_loading_info=True)
    except Exception as err:  # transformers raises a different type for each way a download can fail
        raise DataError(
            f"{source}: not a CLIP model ({f'{err}'.splitlines()[0]}). Pass a folder that transformers wrote, or a "
            "name on the Hugging Face hub."
        ) from err
    if absent := sorted(told["missing_keys"]):
        raise DataError(
            f"{source} has no weights of {', '.join(absent[:3])} ({len(absent):,} tensors), which would come from "
            "chance. Pass a whole CLIPModel."
        )
    text, vision = clip.config.text_config.to_dict(), clip.config.vision_config.to_dict()
    if clip.config.projection_dim != text["hidden_size"]:
        raise DataError(
            f"{source}: the text tower has width {text['hidden_size']}, the joint space {clip.config.projection_dim}; "
            "MIMIC needs them to be equal, as in ViT-B/32 and ViT-B/16."
        )
    weights = {f"encoder.clip.{name}": tensor.float() for name, tensor in clip.state_dict().items()}
    return clip_sizes(text, vision), weights


def _clip(config: MimicConfig) -> Any:
    """CLIP with random weights."""
    transformers = _transformers()
    shared = {"hidden_act": ACTIVATION, "layer_norm_eps": NORM_EPS, "projection_dim": config.text_width}
    text = transformers.CLIPTextConfig(
        **shared,
        vocab_size=config.vocabulary_size,
        max_position_embeddings=config.text_positions,
        hidden_size=config.text_width,
        intermediate_size=config.text_feedforward_dim,
        num_hidden_layers=config.num_text_layers,
        num_attention_heads=config.num_text_heads,
        # With 2, the id of the official file, a text is read off at the first of its largest ids, the end token.
        eos_token_id=2,
        bos_token_id=None,
        pad_token_id=None,
    )
    vision = transformers.CLIPVisionConfig(
        **shared,
        image_size=config.image_size,
        patch_size=config.patch_size,
        hidden_size=config.image_width,
        intermediate_size=config.image_feedforward_dim,
        num_hidden_layers=config.num_image_layers,
        num_attention_heads=config.num_image_heads,
    )
    clip = transformers.CLIPModel(
        transformers.CLIPConfig(
            text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=config.text_width
        )
    )
    clip.logit_scale.requires_grad_(False)  # MIMIC does not use it
    return clip


def _transformers() -> Any:
    try:
        import transformers
    except ModuleNotFoundError as err:
        raise missing_package("transformers", "train", "MIMIC's CLIP") from err
    return transformers


def pair_mask(attention_mask: Tensor) -> Tensor:
    """bool [n, 1, L, L]: which tokens each token of a text attends to, from int64 [n, L].

    Of a mask by token, transformers reads the values to see whether it can do without one. A GPU would have to be
    waited for, in every step of a training; a mask by pair is taken as it is.
    """
    length = attention_mask.shape[1]
    past = torch.ones(length, length, dtype=torch.bool, device=attention_mask.device).tril()
    return past & attention_mask[:, None, None, :].bool()


def _takes_pair_masks() -> bool:
    """Whether CLIP of this transformers does; older ones take masks by token alone, and do not read them."""
    from transformers.models.clip import modeling_clip

    return hasattr(modeling_clip, "create_causal_mask")


def _unit_length(vectors: Tensor) -> Tensor:
    return torch.nn.functional.normalize(vectors, dim=-1, eps=0.0)
