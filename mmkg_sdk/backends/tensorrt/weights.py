"""The weights of a graph, which lie in the bundle's other files: given to the parser from what the bundle verified.

The parser could read them itself, from the folder and by the path in the graph. Then it would read what lies there by
now, and not what was verified.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ...bundle import Bundle
from ...bundle.external_data import external_data
from ...errors import BackendError
from ..outside_weights import outside_weights
from . import api


class ReadsGraphs(Protocol):
    """A parser of the library: OnnxParser or OnnxParserRefitter."""

    @property
    def num_errors(self) -> int: ...

    def load_initializer(self, name: str, data: int, size: int) -> bool: ...

    def get_error(self, index: int) -> api.ParserError: ...


def give_weights(parser: ReadsGraphs, bundle: Bundle, graph: str) -> list[NDArray[np.uint8]]:
    """Give a parser, which has loaded the graph, each weight that lies outside of it.

    Returns:
        The weights, uint8 [bytes] each, which the parser reads until the engine is built: keep them as long.

    Raises:
        BackendError: the parser does not take one.
    """
    model = bundle.files[f"{graph}.onnx"]
    kept = []
    for name, location, offset, length in outside_weights(model):
        # The bundle has checked that the place lies in a file of its own.
        weight = np.frombuffer(bundle.files[location], np.uint8, length, offset)
        kept.append(weight)
        if not parser.load_initializer(name, weight.ctypes.data, length):
            raise BackendError(f"{graph}.onnx: TensorRT does not take the {length:,} bytes of weight {name!r:.80}.")
    if len(kept) != sum(1 for _ in external_data(model)):
        raise BackendError(f"{graph}.onnx keeps weights outside in other places than its initializers. Export again.")
    return kept


def parser_errors(parser: ReadsGraphs) -> str:
    """What a parser says of a graph that it did not read."""
    errors = [parser.get_error(index) for index in range(parser.num_errors)]
    words = (f"{error.node_operator()} {error.node_name()}: {error.desc()}".lstrip(" :") for error in errors)
    return "; ".join(words) or "it gave no reason"
