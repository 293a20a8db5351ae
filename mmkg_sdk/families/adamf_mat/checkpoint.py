"""Official AdaMF-MAT checkpoints: what is in them, and what they leave to the data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import ExportError
from ..checkpoint_file import read_state
from ..official import compare_state, finite_tensors, renamed_settings, tensor_shape
from .config import AdaMFConfig

if TYPE_CHECKING:
    from torch import Tensor

# The trainer's periodic saving writes the model's names with this in front, and tensors of its own (spec 1).
_PREFIX = "model."

# What no tensor tells: nothing that scores depend on.
UNTOLD_SETTINGS: dict[str, str] = {}


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The tensors of an official checkpoint, by official name.

    Loading is tensor-only: a file that carries code is refused, never run.

    Raises:
        ExportError: if the file is missing, no checkpoint, of another family, or holds NaN or infinity.
    """
    state = read_state(path)
    if any(name.startswith(_PREFIX) for name in state):
        state = {name.removeprefix(_PREFIX): state[name] for name in state if name.startswith(_PREFIX)}
    return finite_tensors(state, path)


def config_from_checkpoint(state: dict[str, Tensor], **settings: Any) -> AdaMFConfig:
    """The configuration that fits a checkpoint: sizes and margin from its tensors, the rest from `settings`.

    Raises:
        ExportError: if a tensor that tells a size is missing, has another rank, or contradicts another one.
    """

    def shape(name: str, rank: int) -> tuple[int, ...]:
        return tensor_shape(state, name, rank, "AdaMF-MAT")

    def value(name: str) -> float:
        if shape(name, 1) != (1,):
            raise ExportError(f"not an AdaMF-MAT checkpoint: {name} has {len(state[name])} values, expected 1.")
        return float(state[name])

    entities, width = shape("ent_embeddings.weight", 2)
    relations, embedding_dim = shape("rel_embeddings.weight", 2)
    if width != 2 * embedding_dim:
        raise ExportError(
            f"not an AdaMF-MAT checkpoint: entities have width {width}, relations {embedding_dim}; expected twice as "
            "much for entities."
        )
    margin, phase_range = value("margin"), value("rel_embedding_range")
    if not (margin > 0 and phase_range > 0 and value("pi_const") > 0):
        raise ExportError(
            f"the checkpoint's margin is {margin}, rel_embedding_range {phase_range}, pi_const {value('pi_const')}; "
            "expected numbers above 0, for phases are divided by them. The file is damaged."
        )
    return AdaMFConfig(
        num_entities=entities,
        num_relations=relations,
        visual_feature_width=shape("img_embeddings.weight", 2)[1],
        text_feature_width=shape("text_embeddings.weight", 2)[1],
        embedding_dim=embedding_dim,
        # float32 in the file: the decimals that somebody typed are the first few.
        margin=float(f"{margin:.6g}"),
        epsilon=max(0.0, round(phase_range * embedding_dim - margin, 4)),
        **settings,
    )


def check_state(state: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Compare names and shapes with those of a model; names the first differences.

    Raises:
        ExportError: if a tensor is missing, unknown or has another shape.
    """
    compare_state(state, expected)


# The authors' option names -> ours; sizes and margin are read from the tensors instead.
_OFFICIAL_SETTINGS = {
    "neg_num": "num_negatives",
    "adv_temp": "adversarial_temperature",
    "mu": "adversarial_weight",
    "noise_dim": "noise_dim",
    "lrg": "generator_learning_rate",
}


def official_settings(options: dict[str, Any]) -> dict[str, Any]:
    """The settings of AdaMFConfig among the authors' options, renamed; other options are sizes or schedules."""
    return renamed_settings(options, _OFFICIAL_SETTINGS)
