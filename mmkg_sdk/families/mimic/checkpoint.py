"""Official MIMIC checkpoints: what is in them, and what they leave to the settings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import ExportError
from ..checkpoint_file import read_state
from ..official import compare_state, finite_tensors, tensor_shape
from .config import LEARNED, NO_TOKENIZER, MimicConfig, clip_sizes

if TYPE_CHECKING:
    from torch import Tensor

_CLIP = "encoder.clip."
# Older versions of transformers saved the numbers 0, 1, 2, ... as well.
_COUNTED = "embeddings.position_ids"

# What no tensor tells. The two head counts are required only where the towers have not the published widths.
UNTOLD_SETTINGS: dict[str, str] = {}
_PUBLISHED_HEADS = {"num_text_heads": ("text_width", 512, 8), "num_image_heads": ("image_width", 768, 12)}


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The tensors of an official checkpoint, by official name.

    Lightning files hold objects of other packages beside the weights (hyper-parameters of OmegaConf). None of these
    packages is imported and nothing that the file names is called: inert objects take their place.

    Raises:
        ExportError: if the file is missing, no checkpoint, of another family, or holds NaN or infinity.
    """
    state = read_state(path)
    return finite_tensors({name: state[name] for name in state if not name.endswith(_COUNTED)}, path)


def config_from_checkpoint(state: dict[str, Tensor], **settings: Any) -> MimicConfig:
    """The configuration that fits a checkpoint: sizes from its tensors, head counts and text length from `settings`.

    Without settings, towers of the published widths get the published heads (8 for text, 12 for images), and there is
    no tokenizer.

    Raises:
        ExportError: if a tensor that tells a size is missing or has another rank, a head count cannot be known, or the
            tokenizer is to be learned.
    """

    def shape(name: str, rank: int = 2) -> tuple[int, ...]:
        return tensor_shape(state, name, rank, "MIMIC")

    def layers(tower: str) -> int:
        prefix = f"{_CLIP}{tower}.encoder.layers."
        return len({name.removeprefix(prefix).split(".")[0] for name in state if name.startswith(prefix)})

    vocabulary_size, text_width = shape(f"{_CLIP}text_model.embeddings.token_embedding.weight")
    positions, image_width = shape(f"{_CLIP}vision_model.embeddings.position_embedding.weight")
    patch_size = shape(f"{_CLIP}vision_model.embeddings.patch_embedding.weight", 4)[-1]
    patches_per_side = math.isqrt(max(0, positions - 1))
    if positions != patches_per_side**2 + 1:
        raise ExportError(
            f"the checkpoint's vision tower has {positions} positions; expected a square number of patches and 1."
        )
    sizes = {
        "vocabulary_size": vocabulary_size,
        "text_positions": shape(f"{_CLIP}text_model.embeddings.position_embedding.weight")[0],
        "text_width": text_width,
        "text_feedforward_dim": shape(f"{_CLIP}text_model.encoder.layers.0.mlp.fc1.weight")[0],
        "num_text_layers": layers("text_model"),
        "image_size": patches_per_side * patch_size,
        "patch_size": patch_size,
        "image_width": image_width,
        "image_feedforward_dim": shape(f"{_CLIP}vision_model.encoder.layers.0.mlp.fc1.weight")[0],
        "num_image_layers": layers("vision_model"),
        "image_feature_dim": shape("encoder.image_cls_fc.weight")[0],
        "text_unit_dim": shape("matcher.tglu.fc_query.weight")[0],
        "image_unit_dim": shape("matcher.vdlu.dual_ent2men.cls_fc.weight")[0],
        "cross_modal_unit_dim": shape("matcher.cmfu.text_fc.weight")[0],
    }
    if settings.get("tokenizer") == LEARNED:
        raise ExportError("a tokenizer learned from data gives other ids than the checkpoint's. Name that of its CLIP.")
    for name, (width, published_width, heads) in _PUBLISHED_HEADS.items():
        if name not in settings:
            if sizes[width] != published_width:
                raise ExportError(
                    f"{name} is in no tensor of a checkpoint, and {width} {sizes[width]} is not the published "
                    f"{published_width} (with {heads}); pass --set {name}=..."
                )
            settings[name] = heads
    return MimicConfig.from_json({**sizes, "tokenizer": NO_TOKENIZER, **settings})


def check_state(state: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Compare names and shapes with those of a model; names the first differences.

    Raises:
        ExportError: if a tensor is missing, unknown or has another shape.
    """
    compare_state(state, {name: tensor for name, tensor in expected.items() if not name.endswith(_COUNTED)})


def official_settings(options: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that no tensor tells among the authors' options; other options are sizes or schedules.

    Raises:
        DataError: the options describe a CLIP that MIMIC does not use.
    """
    towers = clip_sizes(options.get("clip_text_config", {}), options.get("clip_vision_config", {}))
    settings = {name: towers[name] for name in _PUBLISHED_HEADS if name in towers}
    if "text_max_length" in options:
        settings["text_length"] = options["text_max_length"]
    return settings
