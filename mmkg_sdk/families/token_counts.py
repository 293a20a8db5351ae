"""What measuring.py of several families says alike: of entity encoders, and of graphs that are made for one length."""

from __future__ import annotations

from typing import NoReturn

from ..bundle import Bundle
from ..errors import QueryError
from .measuring import Contender, Tokens

_ENTITY_COUNTS = (4, 8, 14, 32, 64, 128, 256, 512)
_TEXT_COUNTS = (8, 16, 32, 64, 128)
# Squares of 2, 4, 7, 10 and 14 patches, and one token more.
_VISUAL_COUNTS = (5, 17, 50, 101, 197)
# Nothing in the world of these models is longer, and a mistyped number should not fill the memory.
_LONGEST = 4096

TORCH = Contender("torch", "torch")
ONNXRUNTIME = Contender("ONNX Runtime", "onnxruntime", is_reference=True)


def two_runtimes(bundle: Bundle) -> tuple[Contender, ...]:
    """torch, and ONNX Runtime as the reference."""
    return TORCH, ONNXRUNTIME


def always_there(bundle: Bundle, contender: Contender, device: str) -> None:
    """No bundle lacks a contender."""


def any_count(tokens: Tokens, count: int) -> None:
    """Every number within the limits will do."""


def entity_counts(limits: tuple[int, int]) -> tuple[int, ...]:
    """The numbers to measure by default, within an encoder's limits."""
    least, most = limits
    return tuple(count for count in _ENTITY_COUNTS if least <= count <= most) or (least,)


def sequence_limits(bundle: Bundle, tokens: Tokens) -> tuple[int, int]:
    """A text has its first and last token, a query both markers, and an image one patch beside the class token."""
    return (4 if tokens == "text" else 2), _LONGEST


def sequence_counts(tokens: Tokens, own: int) -> tuple[int, ...]:
    """The numbers to measure by default, and the model's own."""
    return *(_TEXT_COUNTS if tokens == "text" else _VISUAL_COUNTS), own


def no_entity_encoder(*_: object) -> NoReturn:
    """Of families that encode no entities of any number of tokens: nobody should ask."""
    raise QueryError("this family has no entity encoder that is measured by tokens of all kinds together.")


def of_texts(*_: object) -> None:
    """What a query costs depends on its texts and images, and is not counted."""


def not_resized(*_: object) -> NoReturn:
    """Of families whose graphs take entities of any length: nobody should ask."""
    raise QueryError("this family's graphs take any number of tokens; none is made anew.")
