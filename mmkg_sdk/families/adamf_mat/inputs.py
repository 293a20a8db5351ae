"""From a data set to what AdaMF's fusion is fed: feature vectors, which are trained as weights, and masks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...data.graph import DataSet
from ...data.inspection.coverage import Coverage, feature_coverage
from ...data.modalities import modality_features
from ...data.open import AnyData
from ...modalities.stored_tokenizers import TOKENIZERS, packed_tokenizers
from ...registry import MODALITIES, PUBLISHED_MODALITIES
from ...run import RunData
from ..further import further_settings
from ..link_prediction import check_graph_sizes, knowledge_graph, link_prediction_data, numbered_graph
from .config import AdaMFConfig
from .modalities import mask_names


def config_for(dataset: AnyData, settings: Mapping[str, Any]) -> AdaMFConfig:
    """The configuration: sizes from the data, the rest from settings."""
    dataset = knowledge_graph(dataset, "adamf_mat")
    further = {
        name: {"feature_width": modality_features(dataset, name).vectors.shape[1]}
        for name in dataset.modalities
        if name not in PUBLISHED_MODALITIES
    }
    further_modalities = further_settings(settings.get("further_modalities", []), further)
    return AdaMFConfig.from_json({**settings, **data_sizes(dataset), "further_modalities": further_modalities})


def coverage(dataset: AnyData) -> list[Coverage]:
    """What it finds of images and texts in a data set."""
    return feature_coverage(knowledge_graph(dataset, "adamf_mat"))


def run_data(dataset: AnyData, config: AdaMFConfig) -> RunData:
    """What a run holds of a data set."""
    dataset = knowledge_graph(dataset, "adamf_mat")
    return link_prediction_data(dataset.graph, encoder_inputs(dataset, config), _feature_makers(dataset))


def _feature_makers(dataset: DataSet) -> dict[str, bytes]:
    """What makes features of new texts and pictures, where those of the data are mean vectors of learned tokens."""
    made = {
        name: raw for name, raw in dataset.tokens.items() if raw.made_by is not None and name not in dataset.features
    }
    tokenizers = {name: raw.made_by for name, raw in made.items() if raw.made_by is not None}
    codebooks = {name: raw.codebook for name, raw in made.items()}
    return {TOKENIZERS: packed_tokenizers(tokenizers, codebooks)} if made else {}


def encoder_inputs(dataset: DataSet, config: AdaMFConfig) -> dict[str, NDArray[Any]]:
    """NAME_mask of each modality, bool [num_entities]: True = takes no part in the fusion. All False for "zeros"."""
    names = [modality.name for modality in config.modalities]
    masks = {f"{name}_mask": ~modality_features(dataset, name).present for name in names}
    return masks if config.missing_modalities == "mask" else {n: np.zeros_like(mask) for n, mask in masks.items()}


def initial_weights(dataset: AnyData, config: AdaMFConfig) -> dict[str, NDArray[np.float32]]:
    """The feature tables by parameter name; what is missing is zero, as in the published files."""
    dataset = knowledge_graph(dataset, "adamf_mat")
    return {
        f"{modality.short_name}_embeddings.weight": modality_features(dataset, modality.name).vectors
        for modality in config.modalities
    }


def data_sizes(dataset: DataSet) -> dict[str, int]:
    """The part of AdaMFConfig that the data set decides, without its further modalities."""
    return {
        "num_entities": len(dataset.graph.entities),
        "num_relations": len(dataset.graph.relations),
        **{f"{name}_feature_width": modality_features(dataset, name).vectors.shape[1] for name in PUBLISHED_MODALITIES},
    }


def missing_modalities(dataset: AnyData, data: RunData, state: Mapping[str, Any]) -> dict[str, str]:
    """What a data set lacks of what a checkpoint was trained with, by "image" or "text", and where it comes from.

    The features themselves are in the checkpoint, where training changed them. Only with missing_modalities "mask" it
    matters which entities of the data have any.
    """
    return {
        name: f"{data.name} has no {modality} features or tokens, so every entity would be masked. Pass their folder "
        "as --tokens DIR (tokens=...), or leave missing_modalities=mask out: the authors mask nothing."
        for name, modality in MODALITIES.items()
        if data.tensors["inputs"][f"{modality}_mask"].all()
    }


def stored_data(fields: Mapping[str, NDArray[Any]], path: Path, config: AdaMFConfig) -> RunData:
    """What a run holds, from the authors' tensors, whose fusion knows no masks.

    Raises:
        ExportError: an array is missing or does not fit.
    """
    graph = numbered_graph(path, fields, config.num_entities, config.num_relations)
    masks = {name: np.zeros(config.num_entities, np.bool_) for name in mask_names(config.modalities)}
    return link_prediction_data(graph, masks)


def check_data(data: RunData, config: AdaMFConfig) -> None:
    """Whether the data fit a configuration.

    Raises:
        ExportError: another number of entities or relations.
    """
    check_graph_sizes(data, config.num_entities, config.num_relations)
