"""Who is measured."""

from __future__ import annotations

from dataclasses import dataclass

from mmkg_sdk.bundle import Bundle


@dataclass(frozen=True)
class Contender:
    """One way to encode entities. `query_name` is what it is called where it answers queries as well."""

    name: str
    backend: str
    graph: str
    query_name: str | None = None

    def absence(self, bundle: Bundle) -> str | None:
        """Why this bundle cannot have the contender; None if it can."""
        if self.graph in bundle.graphs:
            return None
        return (
            f"this bundle has no graph {self.graph}: the rewrite is MyGO's, and exact for one entity encoder layer only"
        )


# The others' vectors are compared with this one's.
REFERENCE = Contender("ONNX Runtime, plain", "onnxruntime", "entity_encoder", "ONNX Runtime")
CONTENDERS = (
    Contender("torch, plain", "torch", "entity_encoder", "torch"),
    REFERENCE,
    Contender("ONNX Runtime, token table", "onnxruntime", "entity_encoder_token_table"),
)
