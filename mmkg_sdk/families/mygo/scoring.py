"""How the torch model answers the queries of a run: what evaluation measures and export is held against."""

from __future__ import annotations

from ...run import Run
from ..link_prediction import LinkScorer, link_scorer
from .model import MyGO


def scorer(model: MyGO, run: Run) -> LinkScorer:
    """Scores of all entities for a chunk of queries; what is asked about needs nothing of the run."""
    return link_scorer(model)
