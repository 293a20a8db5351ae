"""The start of an engine of TensorRT for RTX, as far as it can be told from engines: NVIDIA does not describe it."""

from __future__ import annotations

import struct
from dataclasses import dataclass


@dataclass(frozen=True)
class PlanHeader:
    """What the first 28 bytes say.

    Attributes:
        size: bytes of the engine.
        version: of the library, like "1.7.1.116".
    """

    size: int
    version: str


def plan_header(plan: bytes) -> PlanHeader:
    """The header of an engine; an AssertionError if it is none."""
    magic, size, *version = struct.unpack_from("<4s12xQ4B", plan)
    assert magic == b"vtrt"
    return PlanHeader(size, ".".join(map(str, version)))
