"""A few answered test queries of each task, with the right answer marked, for people to look at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..registry import ENTITY_LINKING, ENTITY_RECOGNITION, LINK_PREDICTION, RELATION_EXTRACTION
from .answers.predictions import Predictions
from .entity_linking import show_answers
from .entity_recognition import show_entities
from .link_prediction import Model
from .relation_extraction import show_relations

RIGHT = "  <- the answer in the test split"


def sample_answers(opened: Any, data: Any) -> str:
    """Answered test queries as text.

    Args:
        opened: what `load` gave.
        data: what `open_data` gave, of the same task.
    """
    return _SAMPLES[opened.bundle.config.task](opened, data)


def _triples(model: Model, data: Any) -> str:
    """One test query per relation."""
    triples = model.bundle.triples["test"]
    lines = []
    for relation in np.unique(triples[:, 1]):
        triple = triples[triples[:, 1] == relation][0]
        # A country has one capital but a continent has many countries: ask for the side with fewer answers.
        if _fan_out(triples, relation, 0) <= _fan_out(triples, relation, 2):
            found, right = model.predict_tails(int(triple[0]), int(relation), 3, filter_known=False), int(triple[2])
        else:
            found, right = model.predict_heads(int(relation), int(triple[2]), 3, filter_known=False), int(triple[0])
        lines.append(_marked(found, model.entities[right]))
    return "\n".join(lines)


def _marked(found: Predictions, right: str) -> str:
    lines = [found[0].query]
    for rank, (label, score) in enumerate(found[0], start=1):
        lines.append(f"  {rank}. {label}  ({score:.2f}){RIGHT if label == right else ''}")
    return "\n".join(lines)


def _fan_out(triples: np.ndarray, relation: int, side: int) -> float:
    """Mean number of triples of a relation for each entity on one side."""
    chosen = triples[triples[:, 1] == relation][:, side]
    return len(chosen) / max(1, len(np.unique(chosen)))


_SAMPLES: dict[str, Callable[[Any, Any], str]] = {
    LINK_PREDICTION: _triples,
    ENTITY_LINKING: show_answers,
    RELATION_EXTRACTION: show_relations,
    ENTITY_RECOGNITION: show_entities,
}
