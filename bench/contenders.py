"""Who is measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mmkg_sdk.bundle import Bundle
from mmkg_sdk.compiled_encoder import absence

from .compiled import KERNELS
from .curves import Curve


@dataclass(frozen=True)
class Contender:
    """One way to run the graphs.

    Attributes:
        backend: that of `mmkg_sdk.load`; KERNELS is its default, by which the compiled kernels do what they can.
        rewrite: what the name of a rewritten graph ends with; "" runs the graphs as they are.
        answers: whether questions are measured, too, and not the encoder only.
    """

    name: str
    backend: str
    rewrite: str = ""
    answers: bool = True

    def graph(self, curve: Curve) -> str:
        """The graph that it runs."""
        return curve.graph + self.rewrite

    def job(self, bundle: Bundle, threads: int) -> dict[str, Any]:
        """What its process is told."""
        path = str(bundle.path.absolute())
        return {"bundle": path, "backend": self.backend, "rewrite": self.rewrite, "threads": threads}

    def absence(self, bundle: Bundle) -> str | None:
        """Why this bundle cannot have the contender; None if it can."""
        if self.rewrite and f"entity_encoder{self.rewrite}" not in bundle.graphs:
            return (
                f"this bundle has no graph entity_encoder{self.rewrite}: it is exact for one entity encoder layer only"
            )
        return absence(bundle) if self.backend == KERNELS else None


# The others' outputs are compared with this one's.
REFERENCE = Contender("ONNX Runtime", "onnxruntime")
_TORCH = Contender("torch", "torch")
_TOKEN_TABLE = Contender("ONNX Runtime, token table", "onnxruntime", "_token_table", answers=False)
_COMPILED = Contender("compiled kernels", KERNELS, "_token_table")


def contenders(bundle: Bundle) -> tuple[Contender, ...]:
    """Those that a bundle of this family may have."""
    return (_TORCH, REFERENCE, *((_TOKEN_TABLE, _COMPILED) if bundle.family == "mygo" else ()))
