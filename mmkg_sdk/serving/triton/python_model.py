"""What runs in Triton's Python backend: the bundle beside it, opened once, asked in labels.

Each request holds queries [batch, 1]: `entity`, `relation`, `direction` ("tail" or "head", which is asked for), and `k`
of the whole request. The answers are filled up to the longest: behind the first `count` of a query its labels are
empty, its ids -1 and its scores 0. Known answers are left out, as `Model.predict_tails` does.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...answering.answers.predictions import Ranking
from ...answering.link_prediction import Model
from ...errors import QueryError
from .python_backend import Given, PythonModel, queries_of, version_folder

_DEFAULT_K = 10


class Answers(PythonModel):
    """The class that Triton's Python backend opens."""

    def initialize(self, args: dict[str, str]) -> None:
        """Open the bundle. `args` are Triton's."""
        device = json.loads(args["model_config"])["parameters"]["device"]["string_value"]
        self._model = Model.load(version_folder(args) / "bundle", device=device)

    def answer(self, given: Given) -> dict[str, NDArray[Any]]:
        """See PythonModel."""
        return answered(self._model, given)

    def finalize(self) -> None:
        """Close the bundle."""
        self._model.close()


def answered(model: Model, given: Given) -> dict[str, NDArray[Any]]:
    """The outputs of one request by name.

    Args:
        given: gives an input by its name, [batch, 1]; None where it was left out.

    Raises:
        QueryError: unknown label or direction, several k, text that is no UTF-8.
    """
    entities, relations, directions = queries_of(given)
    sizes = given("k")
    ks = {_DEFAULT_K} if sizes is None else set(sizes.ravel().tolist())
    if len(ks) != 1:
        raise QueryError(f"a request has one k; found {sorted(ks)[:5]}. Send queries of another k in another request.")
    rankings: list[Ranking | None] = [None] * len(entities)
    for direction in set(directions):
        rows = [row for row, asked in enumerate(directions) if asked == direction]
        names, kinds = [entities[row] for row in rows], [relations[row] for row in rows]
        if direction == "tail":
            found = model.predict_tails(names, kinds, min(ks))
        else:
            found = model.predict_heads(kinds, names, min(ks))
        for row, ranking in zip(rows, found, strict=True):
            rankings[row] = ranking
    return _filled([ranking for ranking in rankings if ranking is not None])


def _filled(rankings: list[Ranking]) -> dict[str, NDArray[Any]]:
    most = max((len(ranking.ids) for ranking in rankings), default=0)
    labels = np.full((len(rankings), most), b"", object)
    ids, scores = np.full(labels.shape, -1, np.int64), np.zeros(labels.shape, np.float32)
    for row, ranking in enumerate(rankings):
        count = len(ranking.ids)
        labels[row, :count] = [label.encode() for label in ranking.labels]
        ids[row, :count], scores[row, :count] = ranking.ids, ranking.scores
    counts = np.array([[len(ranking.ids)] for ranking in rankings], np.int32).reshape(-1, 1)
    return {"labels": labels, "ids": ids, "scores": scores, "count": counts}
