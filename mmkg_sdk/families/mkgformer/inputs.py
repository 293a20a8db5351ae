"""From data to what MKGformer reads. Which of the two kinds, the data or the configuration says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...data.graph import DataSet
from ...data.inspection.coverage import Coverage, raw_coverage
from ...data.open import AnyData
from ...registry import LINK_PREDICTION
from ...run import RunData
from .backbones import pretrained_weights
from .config import MKGformerConfig
from .links import inputs as link_inputs
from .sentences import inputs as sentence_inputs


def config_for(dataset: AnyData, settings: Mapping[str, Any]) -> MKGformerConfig:
    """The configuration: task and sizes from the data, the rest from settings."""
    if isinstance(dataset, DataSet):
        return link_inputs.config_for(dataset, settings)
    return sentence_inputs.config_for(dataset, settings)


def coverage(dataset: AnyData) -> list[Coverage]:
    """What it finds of images and texts in a data set."""
    return raw_coverage(dataset)


def run_data(dataset: AnyData, config: MKGformerConfig) -> RunData:
    """What a run holds of a data set."""
    data: RunData = _part(config).run_data(dataset, config)
    return data


def initial_weights(dataset: AnyData, config: MKGformerConfig) -> dict[str, NDArray[np.float32]]:
    """Weights of the public models that training begins with, by parameter name; nothing without one."""
    return pretrained_weights(config)


def missing_modalities(dataset: AnyData, data: RunData, state: Mapping[str, Any]) -> dict[str, str]:
    """What a data set lacks of what a checkpoint was trained with, by "image" or "text", and where it comes from."""
    shown = {name.removesuffix("_present"): array for name, array in data.tensors["images"].items()}
    absent = [group for group in ("main", "aux", "rcnn") if group in shown and not shown[group].any()]
    lacking = {}
    if not isinstance(dataset, DataSet):
        if absent:
            lacking["image"] = (
                f"no sentence of {data.name} has any of the group {' or '.join(absent)}. Put the authors' lists and "
                "crops into the folder of the data set, or pass that of the images as --images DIR (images=...); what "
                f"was trained without such a group is imported with --set num_{absent[0]}_images=null."
            )
        return lacking
    if "main" in absent:  # the others are further photographs of an entity, which it may well not have
        lacking["image"] = (
            f"no entity of {data.name} has one. They are published apart from the triples: put a folder for each "
            "entity into the folder images of the data set."
        )
    if not (dataset.entity_texts or dataset.descriptions):
        lacking["text"] = (
            f"{data.name} has neither entity texts nor descriptions, so entities would be told by their labels. Put "
            "entity2textlong.txt or entity2text.txt beside the triples."
        )
    return lacking


def stored_data(fields: Mapping[str, NDArray[Any]], path: Path, config: MKGformerConfig) -> RunData:
    """What a run holds, from the authors' tensors.

    Raises:
        ExportError: an array is missing or does not fit.
    """
    data: RunData = _part(config).stored_data(fields, path, config)
    return data


def check_data(data: RunData, config: MKGformerConfig) -> None:
    """Whether the data fit a configuration.

    Raises:
        ExportError: they do not.
    """
    _part(config).check_data(data, config)


def _part(config: MKGformerConfig) -> ModuleType:
    return link_inputs if config.task == LINK_PREDICTION else sentence_inputs
