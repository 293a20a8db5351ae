"""The MIMIC graphs that are exported: the same numbers as the model, with less work (spec section 8).

text_encoder, image_encoder    once per text and image: towers.py
mention_side, entity_side      once per mention and entity, what each brings to a pair: pairs.py
interaction                    the scores of pairs: pairs.py

Only CLIP's towers have weights in half precision; the matcher stays float32 throughout.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ...bundle.graph_specs import Axis, Dtype, GraphSpec, TensorSpec
from ..exported import DTYPES, load_weights, set_dtype
from .config import MimicConfig
from .model import Mimic
from .pairs import EntitySide, Interaction, MentionSide
from .pieces import entity_pieces, mention_pieces
from .towers import ImageEncoder, TextEncoder

LARGE_ENCODERS = ("text_encoder", "image_encoder")


def graph_modules(model: Mimic, dtype: torch.dtype) -> dict[str, nn.Module]:
    """The modules to export by graph name, on the model's device.

    Args:
        dtype: of the towers' weights that are multiplied.
    """
    exact = copy.deepcopy(model).eval().requires_grad_(False).double()
    modules: dict[str, nn.Module] = {
        "text_encoder": TextEncoder(exact),
        "image_encoder": ImageEncoder(exact),
        "mention_side": MentionSide(exact.matcher),
        "entity_side": EntitySide(exact.matcher),
        "interaction": Interaction(exact.matcher),
    }
    for name, module in modules.items():
        set_dtype(module, dtype if name.endswith("_encoder") else torch.float32)
    return modules


def load_modules(config: MimicConfig, precision: str, weights: dict[str, Tensor]) -> dict[str, nn.Module]:
    """The modules of a bundle, from its weights named GRAPH.WEIGHT.

    Raises:
        RuntimeError: if a weight is missing, unknown or misshapen.
    """

    def skeleton() -> dict[str, nn.Module]:
        with torch.device("meta"):  # random weights of a whole CLIP would take seconds and several times the memory
            model = Mimic(config)
        return graph_modules(model, DTYPES[precision])

    return load_weights(skeleton, weights)


def graph_specs(config: MimicConfig) -> dict[str, GraphSpec]:
    """The signatures of the graphs by name.

    The interaction takes the entity pieces in `entity_dtype`. Those of mentions, and all computing, are float32.
    """
    batch = Axis("batch", 1, 64, 1024)
    mentions, candidates = Axis("mentions", 1, 8, 64), Axis("candidates", 1, 128, 2048)

    def floats(axis: Axis, shapes: Mapping[str, tuple[int, ...]], dtype: Dtype = "float32") -> tuple[TensorSpec, ...]:
        return tuple(TensorSpec(name, dtype, (axis, *shape)) for name, shape in shapes.items())

    text = {"text_embeds": (config.text_width,), "text_tokens": (config.text_length, config.text_width)}
    image = {
        "image_embeds": (config.image_feature_dim,),
        "image_tokens": (config.num_image_tokens, config.image_feature_dim),
    }
    ids = tuple(TensorSpec(name, "int64", (batch, config.text_length)) for name in ("input_ids", "attention_mask"))
    pixels = {"pixel_values": (3, config.image_size, config.image_size)}
    scores = ("text_scores", "image_scores", "image_text_scores")
    specs = (
        GraphSpec("text_encoder", ids, floats(batch, text)),
        GraphSpec("image_encoder", floats(batch, pixels), floats(batch, image)),
        GraphSpec("mention_side", floats(batch, text | image), floats(batch, mention_pieces(config))),
        GraphSpec("entity_side", floats(batch, text | image), floats(batch, entity_pieces(config))),
        GraphSpec(
            "interaction",
            floats(mentions, mention_pieces(config)) + floats(candidates, entity_pieces(config), config.entity_dtype),
            tuple(TensorSpec(name, "float32", (mentions, candidates)) for name in scores),
        ),
    )
    return {spec.name: spec for spec in specs}
