"""The public models that the authors' training starts from: a BERT and a CLIP vision tower."""

from __future__ import annotations

import re
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from ...errors import DataError, ExportError, missing_package
from ..official import compare_state
from .config import MKGformerConfig
from .model import MKGformer, build_model

_NOT_IN_BACKBONES = re.compile(r"fusion_dense|(aux|rcnn)_position|position_ids")


def pretrained_weights(config: MKGformerConfig) -> dict[str, NDArray[Any]]:
    """The weights of the backbones that a configuration names, by parameter name; nothing if it names none.

    Rows of added tokens in the word table are drawn from a seed of their own, the same on every call, whatever the seed
    of the training.

    Raises:
        BackendError, DataError: as `initialise_from_backbones`; also if only one of the two is named.
    """
    if not (config.pretrained_text or config.pretrained_vision):
        return {}
    if not (config.pretrained_text and config.pretrained_vision):
        raise DataError("pretrained_text and pretrained_vision go together; set both, or none.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_model(config)
        names = initialise_from_backbones(model, text=config.pretrained_text, vision=config.pretrained_vision)
    prefix = next(f"{name}." for name, module in model.named_modules() if module is model.encoder)
    state = model.state_dict()
    return {prefix + name: state[prefix + name].numpy() for name in names}


def initialise_from_backbones(
    model: MKGformer, *, text: str = "bert-base-uncased", vision: str = "openai/clip-vit-base-patch32"
) -> list[str]:
    """Give both towers the weights of public models, as the authors start their training (spec 5).

    What these do not have keeps its fresh weights: rows of added tokens, `fusion_dense`, two position tables, heads.

    Args:
        text, vision: names at Hugging Face, or folders, of a BERT and of a CLIP vision tower.

    Returns:
        The names within the encoder of what it got.

    Raises:
        BackendError: transformers is not installed.
        DataError: a model cannot be read, lacks weights, or has other sizes than the configuration.
    """
    try:
        from transformers import BertModel, CLIPVisionModel
    except ImportError as err:
        raise missing_package("transformers", "train", "starting from public backbones") from err
    own = model.encoder.state_dict()
    found: dict[str, Tensor] = {}
    for kind, source, tower in ((BertModel, text, "text_"), (CLIPVisionModel, vision, "vision_")):
        try:
            backbone, told = kind.from_pretrained(source, output_loading_info=True)
        except Exception as err:  # transformers raises a different type for each way a download can fail
            raise DataError(
                f"{source}: not a {kind.__name__} ({f'{err}'.splitlines()[0]}). Pass a name or a folder of one."
            ) from err
        if absent := [name for name in sorted(told["missing_keys"]) if not name.startswith("pooler.")]:  # is not used
            raise DataError(
                f"{source} has no weights of {', '.join(absent[:3])} ({len(absent):,} tensors), which would come from "
                f"chance. Pass a whole {kind.__name__}."
            )
        state = backbone.state_dict()
        found |= {_our_name(name.removeprefix("vision_model."), tower): tensor for name, tensor in state.items()}
    words = "text_embeddings.word_embeddings.weight"
    rows = model.config.base_vocabulary_size
    expected = {name: tensor for name, tensor in own.items() if not _NOT_IN_BACKBONES.search(name)}
    expected[words] = own[words][:rows]
    try:
        compare_state(found, expected)
    except ExportError as err:
        raise DataError(f"{text} and {vision} do not fit the configuration: {err}") from err
    found[words] = torch.cat([found[words], own[words][rows:]])
    model.encoder.load_state_dict(found, strict=False)
    return [name for name in own if name in found]


def _our_name(name: str, tower: str) -> str:
    """encoder.layer.0.x -> encoder.text_layer.0.x; anything else gets the tower in front."""
    part, _, rest = name.partition(".")
    return f"encoder.{tower}{rest}" if part == "encoder" else f"{tower}{name}"
