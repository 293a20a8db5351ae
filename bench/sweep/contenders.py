"""Who is measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mmkg_sdk.bundle import Bundle
from mmkg_sdk.families.mygo.compiled_encoder import absence

from .curves import Curve

# The backend by which `mmkg_sdk.load` opens a bundle so that the compiled kernels do what they can.
KERNELS = "auto"
# Behind the name of a graph: MyGO's encoder as published (plain_encoder.py), and with tables for tokens.
PLAIN, TOKEN_TABLE = "_plain", "_token_table"


@dataclass(frozen=True)
class Contender:
    """One way to run the graphs.

    Attributes:
        backend: that of `mmkg_sdk.load`.
        rewrite: PLAIN, TOKEN_TABLE, or "" for the graph that every bundle has.
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
        if self.rewrite == TOKEN_TABLE and f"entity_encoder{TOKEN_TABLE}" not in bundle.graphs:
            return (
                f"this bundle has no graph entity_encoder{TOKEN_TABLE}: it is exact for one entity encoder layer only"
            )
        return absence(bundle) if self.backend == KERNELS else None


_ONNXRUNTIME = Contender("ONNX Runtime", "onnxruntime")
_TORCH = Contender("torch", "torch")
_PLAIN = Contender("ONNX Runtime, plain", "onnxruntime", PLAIN, answers=False)
_OF_MYGO = (
    Contender("torch, plain", "torch", PLAIN, answers=False),
    _PLAIN,
    _TORCH,
    _ONNXRUNTIME,
    Contender("torch, token table", "torch", TOKEN_TABLE, answers=False),
    Contender("ONNX Runtime, token table", "onnxruntime", TOKEN_TABLE, answers=False),
    Contender("compiled kernels", KERNELS, TOKEN_TABLE),
)


def contenders(bundle: Bundle) -> tuple[Contender, ...]:
    """Those that a bundle of this family may have."""
    return _OF_MYGO if bundle.family == "mygo" else (_TORCH, _ONNXRUNTIME)


def reference(bundle: Bundle) -> Contender:
    """Whose outputs and throughput the others' are compared with."""
    return _PLAIN if bundle.family == "mygo" else _ONNXRUNTIME
