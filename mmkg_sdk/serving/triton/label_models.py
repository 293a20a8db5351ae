"""What an ensemble of Triton has before and behind a graph of ids: labels to ids, and ids to labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...answering.ids import to_ids
from ...errors import QueryError
from ...files.labels import read_labels
from ...ranking.known_triples import HEAD, TAIL
from .python_backend import Given, PythonModel, queries_of, version_folder


class ToIds(PythonModel):
    """Queries in labels to what complete.onnx takes, each [batch, 1]."""

    def initialize(self, args: dict[str, str]) -> None:
        """See PythonModel."""
        folder = version_folder(args)
        self._entities = read_labels(folder / "entities.txt", "entity")
        self._relations = read_labels(folder / "relations.txt", "relation")

    def answer(self, given: Given) -> dict[str, NDArray[Any]]:
        """See PythonModel."""
        entities, relations, directions = queries_of(given)
        asked = [HEAD if direction == "head" else TAIL for direction in directions]
        return {
            "entity_id": to_ids(entities, self._entities).reshape(-1, 1),
            "relation_id": to_ids(relations, self._relations).reshape(-1, 1),
            "direction_id": np.array(asked, np.int64).reshape(-1, 1),
        }


class ToLabels(PythonModel):
    """Ids of entities to their labels, both [batch, answers]."""

    def initialize(self, args: dict[str, str]) -> None:
        """See PythonModel."""
        self._entities = read_labels(version_folder(args) / "entities.txt", "entity")

    def answer(self, given: Given) -> dict[str, NDArray[Any]]:
        """See PythonModel."""
        ids = given("ids")
        if ids is None:
            raise QueryError("a request has no ids.")
        flat = ids.ravel().tolist()
        if flat and not 0 <= min(flat) <= max(flat) < len(self._entities):
            raise QueryError(f"ids are {min(flat)} to {max(flat)}; entities are 0 to {len(self._entities) - 1:,}.")
        labels = [label.encode() for label in self._entities.of_ids(flat)]
        return {"labels": np.array(labels, object).reshape(ids.shape)}
