"""ShardedModel: a Model whose table is in shards. Query vectors are made here, once; shards score their rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ..answering.entity_table import EntityTable
from ..answering.link_prediction import Model
from ..backends.segments import Call, PartedRanking
from ..errors import QueryError
from ..families.entity_batch import EntityBatch
from ..ranking.known_triples import Queries
from .on_shards import OnShards
from .shards import Shards


class ShardedRanking(PartedRanking):
    """See TableRanking: shards rank, and their answers are merged."""

    def __init__(self, shards: Shards) -> None:
        self._shards = shards

    @property
    def name(self) -> str:
        """See TableRanking."""
        return f"{len(self.starts) - 1} shards"

    @property
    def reads_table(self) -> bool:
        """See TableRanking. There is none here."""
        return False

    @property
    def starts(self) -> tuple[int, ...]:
        """See PartedRanking."""
        return self._shards.starts

    def ask(self, calls: Sequence[Call]) -> list[Any]:
        """See PartedRanking."""
        return self._shards.ask(calls)


@dataclass(frozen=True)
class ShardedTable(EntityTable):
    """An EntityTable whose rows are in shards, and are fetched when they are asked for."""

    shards: Shards = field(kw_only=True)
    row_width: int = field(kw_only=True)

    @property
    def width(self) -> int:
        """See EntityTable."""
        return self.row_width

    @property
    def parts(self) -> list[NDArray[np.float32]]:
        """See EntityTable; a copy."""
        return [self.rows(np.arange(len(self)))]

    @property
    def table(self) -> NDArray[np.float32]:  # type: ignore[override]
        """See EntityTable; a copy."""
        return self.parts[0]

    def rows(self, ids: NDArray[np.int64], name: str = "vectors") -> NDArray[np.float32]:
        """See EntityTable."""
        owners = np.searchsorted(self.shards.starts, ids, "right") - 1
        asked, starts = np.unique(owners).tolist(), self.shards.starts
        found = self.shards.ask([(number, "rows", (name, ids[owners == number] - starts[number])) for number in asked])
        rows = np.empty((len(ids), *(found[0].shape[1:] if found else (self.width,))), np.float32)
        for number, part in zip(asked, found, strict=True):
            rows[owners == number] = part
        return rows

    def asked(self, queries: Queries) -> tuple[NDArray[np.float32], Queries]:
        """See EntityTable. Of the table there is its shape, and the rows that it is asked for."""
        return cast("NDArray[np.float32]", _FetchedRows(self)), queries

    def nearest(self, queries: Queries) -> tuple[NDArray[np.float32], Queries]:
        """See EntityTable: the rows that are asked about, each once."""
        ids, places = np.unique(queries.entity, return_inverse=True)
        return self.rows(ids), Queries(places.astype(np.int64), queries.relation, queries.direction, queries.shown)


class _FetchedRows:
    """What a query graph's inputs are made of: rows of a table by their ids."""

    def __init__(self, table: ShardedTable) -> None:
        self._table = table
        self.shape = (len(table), table.width)

    def __getitem__(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        return self._table.rows(ids)


class ShardedModel(OnShards, Model):
    """A sharded link prediction bundle. It answers as the Model of the whole bundle does, to the bit where compiled
    kernels rank (docs/sharding.md). Safe to call from several threads.

    Use `ShardedModel.load`, or `mmkg_sdk.serving.load_sharded`. It takes no new entities: they are added to a bundle.
    """

    def _open_table(self) -> EntityTable:
        width = self._shards.ask([(0, "rows", ("vectors", np.zeros(1, np.int64)))])[0].shape[1]
        labels = self.bundle.entities
        return ShardedTable(labels, {}, ShardedRanking(self._shards), len(labels), shards=self._shards, row_width=width)

    def score_queries(self, queries: Queries) -> NDArray[np.float32]:
        """Scores of all entities for each query, float32 [batch, num_entities]."""
        vectors, count = self.query_vectors(queries), len(self._shards.starts) - 1
        return np.concatenate(self._shards.ask([(n, "scores", (vectors,)) for n in range(count)]), axis=1)

    def entity_batch(self, **modalities: Any) -> EntityBatch:
        """Refused, as `encode_batch` is. Raises QueryError."""
        raise self._no_encoder()

    def encode_batch(self, batch: EntityBatch, graph: str | None = None) -> dict[str, NDArray[np.float32]]:
        """Refused: a sharded bundle has no encoder of entities. Raises QueryError."""
        raise self._no_encoder()

    def _no_encoder(self) -> QueryError:
        return QueryError(
            f"{self.bundle.path.parent} is sharded and has no encoder of entities. Encode them with the whole bundle."
        )
