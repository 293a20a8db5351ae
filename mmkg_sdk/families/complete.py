"""The graph "complete": ids to the best candidates, with the table inside. Known triples are not filtered.

The export turns the table into a constant. ONNX Runtime takes none of 2 GiB or more, so a table of that size becomes
several: each is ranked on its own, and the best are merged. Ids, scores and the order of equal ones are those of one
piece.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..bundle.graph_specs import GraphSpec, TensorSpec
from .exported import TOP_K

# Queries [batch, width] and rows [n, width] -> scores [batch, n]; higher is better.
Score = Callable[[Tensor, Tensor], Tensor]

# Of a table that is one constant, and of each of several: larger ones ONNX Runtime turns anew with every query.
_MOST_BYTES, _PART_BYTES = (1 << 31) - 1, 1 << 30
_NUMBER_BYTES = 4


def complete_module(query_encoder: nn.Module, score: Score, num_entities: int, width: int) -> nn.Module:
    """The module to export, for the inputs of `complete_spec`."""
    best, parts = min(TOP_K, num_entities), table_parts(num_entities, width)
    if len(parts) == 1:
        return _Complete(query_encoder, score, best)
    return _CompleteInParts(query_encoder, score, best, parts)


def complete_spec(table: TensorSpec, query_inputs: tuple[TensorSpec, ...], num_entities: int, width: int) -> GraphSpec:
    """Its signature.

    Args:
        table: as the graph "query_encoder" takes it.
        query_inputs: entity, relation and direction.
        num_entities, width: the table's size.
    """
    (batch,), best, parts = query_inputs[0].shape, min(TOP_K, num_entities), table_parts(num_entities, width)
    tables: tuple[TensorSpec, ...] = (table,)
    if len(parts) > 1:
        tables = tuple(TensorSpec(f"table_{i}", "float32", (rows, width)) for i, rows in enumerate(parts))
    outputs = (TensorSpec("ids", "int64", (batch, best)), TensorSpec("scores", "float32", (batch, best)))
    return GraphSpec("complete", (*tables, *query_inputs), outputs, baked=tuple(part.name for part in tables))


def inner_product(queries: Tensor, table: Tensor) -> Tensor:
    """A Score."""
    return queries @ table.T


def table_parts(rows: int, width: int) -> list[int]:
    """Rows of each constant that a table becomes: one, or as few as have the size, about equally large."""
    row_bytes = _NUMBER_BYTES * width
    if rows * row_bytes <= _MOST_BYTES:
        return [rows]
    count = -(-rows // max(1, _PART_BYTES // row_bytes))
    size = -(-rows // count)
    return [min(size, rows - start) for start in range(0, rows, size)]


class _Complete(nn.Module):
    def __init__(self, query_encoder: nn.Module, score: Score, num_best: int) -> None:
        super().__init__()
        self.query_encoder, self.score, self.num_best = query_encoder, score, num_best

    def forward(self, table: Tensor, entity: Tensor, relation: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
        queries = self.query_encoder(table, entity, relation, direction)
        scores, ids = torch.topk(self.score(queries, table), self.num_best, dim=1)
        return ids, scores


class _CompleteInParts(nn.Module):
    def __init__(self, query_encoder: nn.Module, score: Score, num_best: int, parts: list[int]) -> None:
        super().__init__()
        self.query_encoder, self.score, self.num_best = query_encoder, score, num_best
        self.starts = [sum(parts[:i]) for i in range(len(parts))]

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Takes the parts of the table, then entity, relation and direction."""
        *parts, entity, relation, direction = inputs
        # The rows that are asked about, as a table of their own.
        places = torch.arange(entity.shape[0], device=entity.device)
        queries = self.query_encoder(self._asked(parts, entity), places, relation, direction)
        found = []
        for start, part in zip(self.starts, parts, strict=True):
            scores, rows = torch.topk(self.score(queries, part), min(self.num_best, part.shape[0]), dim=1)
            found.append((scores, rows + start))
        scores, ids = (torch.cat(kept, dim=1) for kept in zip(*found, strict=True))
        # Of equal scores the first is kept: it is of an earlier part, or stood before in its own.
        scores, places = torch.topk(scores, self.num_best, dim=1)
        return torch.gather(ids, 1, places), scores

    def _asked(self, parts: list[Tensor], entity: Tensor) -> Tensor:
        """float32 [batch, width]. An id behind the last row is refused, as it is in one piece."""
        last = len(parts) - 1
        asked = None
        for i, (start, part) in enumerate(zip(self.starts, parts, strict=True)):
            own = (entity - start).clamp(min=None if i == 0 else 0, max=None if i == last else part.shape[0] - 1)
            rows = F.embedding(own, part)
            asked = rows if asked is None else torch.where((entity >= start)[:, None], rows, asked)
        assert asked is not None
        return asked
