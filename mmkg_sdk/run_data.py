"""RunData: what a run holds besides weights, so that evaluation and export need nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from .data.graph import SPLITS, KnowledgeGraph
from .files.labels import Labels


@dataclass(frozen=True)
class RunData:
    """Labels, arrays and files by name; each becomes a file of the run folder.

    Attributes:
        name: of the data set.
        labels: NAME.txt.
        tensors: NAME.safetensors.
        files: whole files, by file name.
    """

    name: str
    labels: Mapping[str, Labels]
    tensors: Mapping[str, Mapping[str, NDArray[Any]]]
    files: Mapping[str, bytes] = field(default_factory=dict)


def link_prediction_data(graph: KnowledgeGraph, inputs: Mapping[str, NDArray[Any]]) -> RunData:
    """A graph, and what the family's encoder is fed.

    Args:
        inputs: name -> array, one row per entity.
    """
    return RunData(
        graph.name,
        {"entities": graph.entities, "relations": graph.relations},
        {"triples": {split: graph.split(split) for split in SPLITS}, "inputs": inputs},
    )
