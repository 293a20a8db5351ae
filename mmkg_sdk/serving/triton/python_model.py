"""What runs in Triton's Python backend: the bundle beside it, opened once, asked in labels.

Each request holds queries [batch, 1]: `entity`, `relation`, `direction` ("tail" or "head", which is asked for), and `k`
of the whole request. The answers are filled up to the longest: behind the first `count` of a query its labels are
empty, its ids -1 and its scores 0. Known answers are left out, as `Model.predict_tails` does.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...answering.answers.predictions import Ranking
from ...answering.link_prediction import Model
from ...errors import QueryError

_DEFAULT_K = 10


class TritonPythonModel:
    """The class that Triton's Python backend looks for."""

    def initialize(self, args: dict[str, str]) -> None:
        """Open the bundle. `args` are Triton's."""
        device = json.loads(args["model_config"])["parameters"]["device"]["string_value"]
        folder = Path(args["model_repository"]) / args["model_version"] / "bundle"
        self._model = Model.load(folder, device=device)

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response for each request; what cannot be answered is the error of its own request."""
        import triton_python_backend_utils as triton

        responses = []
        for request in requests:
            try:
                outputs = answered(self._model, lambda name, of=request: _input(triton, of, name))
                tensors = [triton.Tensor(name, array) for name, array in outputs.items()]
                responses.append(triton.InferenceResponse(tensors))
            except QueryError as err:
                responses.append(triton.InferenceResponse([], triton.TritonError(str(err))))
        return responses

    def finalize(self) -> None:
        """Close the bundle."""
        self._model.close()


def _input(triton: Any, request: Any, name: str) -> NDArray[Any] | None:
    tensor = triton.get_input_tensor_by_name(request, name)
    return None if tensor is None else tensor.as_numpy()


def answered(model: Model, given: Any) -> dict[str, NDArray[Any]]:
    """The outputs of one request by name.

    Args:
        given: gives an input by its name, [batch, 1]; None where it was left out.

    Raises:
        QueryError: unknown label or direction, several k, text that is no UTF-8.
    """
    entities, relations, directions = (_texts(given(name), name) for name in ("entity", "relation", "direction"))
    sizes = given("k")
    ks = {_DEFAULT_K} if sizes is None else set(sizes.ravel().tolist())
    if len(ks) != 1:
        raise QueryError(f"a request has one k; found {sorted(ks)[:5]}. Send queries of another k in another request.")
    if odd := set(directions) - {"head", "tail"}:
        raise QueryError(f"direction {min(odd)!r:.80} is unknown; expected 'tail' or 'head', which is asked for.")
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


def _texts(array: NDArray[Any] | None, name: str) -> list[str]:
    try:
        return [] if array is None else [bytes(value).decode("utf-8") for value in array.ravel().tolist()]
    except UnicodeDecodeError as err:
        raise QueryError(f"{name} holds text that is not UTF-8 ({err}).") from err


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
