"""What models of Triton's Python backend have in common: requests in, responses out, and the queries in them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ...errors import QueryError

# From the name of an input to it, None where it was left out.
Given = Callable[[str], NDArray[Any] | None]


class PythonModel(ABC):
    """A model as Triton's Python backend asks for it."""

    @abstractmethod
    def initialize(self, args: dict[str, str]) -> None:
        """Open what it answers from. `args` are Triton's."""

    @abstractmethod
    def answer(self, given: Given) -> dict[str, NDArray[Any]]:
        """The outputs of one request by name.

        Raises:
            QueryError: it cannot be answered.
        """

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response for each request; what cannot be answered is the error of its own request."""
        import triton_python_backend_utils as triton

        responses = []
        for request in requests:
            try:
                outputs = self.answer(partial(_input, triton, request))
                tensors = [triton.Tensor(name, array) for name, array in outputs.items()]
                responses.append(triton.InferenceResponse(tensors))
            except QueryError as err:
                responses.append(triton.InferenceResponse([], triton.TritonError(str(err))))
        return responses


def version_folder(args: dict[str, str]) -> Path:
    """Where the files of a model are, by what `initialize` is told."""
    return Path(args["model_repository"]) / args["model_version"]


def queries_of(given: Given) -> tuple[list[str], list[str], list[str]]:
    """Entities, relations and directions of a request.

    Raises:
        QueryError: an unknown direction, text that is no UTF-8.
    """
    entities, relations, directions = (_texts(given(name), name) for name in ("entity", "relation", "direction"))
    if odd := set(directions) - {"head", "tail"}:
        raise QueryError(f"direction {min(odd)!r:.80} is unknown; expected 'tail' or 'head', which is asked for.")
    return entities, relations, directions


def _input(triton: Any, request: Any, name: str) -> NDArray[Any] | None:
    tensor = triton.get_input_tensor_by_name(request, name)
    return None if tensor is None else tensor.as_numpy()


def _texts(array: NDArray[Any] | None, name: str) -> list[str]:
    try:
        return [] if array is None else [bytes(value).decode("utf-8") for value in array.ravel().tolist()]
    except UnicodeDecodeError as err:
        raise QueryError(f"{name} holds text that is not UTF-8 ({err}).") from err
