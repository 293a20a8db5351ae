"""MKGformer in torch: one model for each of its three tasks, all on the same hybrid encoder.

links/model.py and sentences/model.py hold them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from ...registry import LINK_PREDICTION, RELATION_EXTRACTION
from .config import MKGformerConfig
from .links.model import LinkPredictor
from .sentences.model import EntityTagger, RelationExtractor

# Nothing besides the weights is needed to build a model; texts and images come with each query.
INPUT_NAMES: tuple[str, ...] = ()

MKGformer = LinkPredictor | RelationExtractor | EntityTagger


def build_model(config: MKGformerConfig) -> MKGformer:
    """The model of the configured task, with fresh weights."""
    if config.task == LINK_PREDICTION:
        return LinkPredictor(config)
    return RelationExtractor(config) if config.task == RELATION_EXTRACTION else EntityTagger(config)


def build(config: dict[str, Any], inputs: Mapping[str, NDArray[Any]]) -> MKGformer:
    """The model of a run's configuration, with fresh weights; `inputs` are not needed."""
    return build_model(MKGformerConfig.from_json(config))
