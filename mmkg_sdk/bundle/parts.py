"""A sharded bundle is a folder of folders: the front, which makes queries, and shards, which score rows of the table.

Each of them is a folder like a bundle: its bundle.json says what part it is, and has the hashes of its files. A shard
needs nothing of the others, so it may lie on a machine of its own. docs/sharding.md says what is where.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from ..errors import DataError
from .contents import WEIGHTS, Contents, Stored

FRONT = "front"
MOST_SHARDS = 4096
_TABLE = "table"
_CARD = "MODEL_CARD.md"


@dataclass(frozen=True)
class Part:
    """Which part of a bundle a folder holds.

    Attributes:
        bundle: the seal of the bundle that was cut, in hexadecimal.
        starts: the first row of every shard, and the end of the last one.
        number: of the shard, from 0; None: the front.
    """

    bundle: str
    starts: tuple[int, ...]
    number: int | None = None

    @classmethod
    def from_json(cls, value: Any) -> Part:
        """What `to_json` gave.

        Raises:
            DataError: it is none of a part.
        """
        if not isinstance(value, dict) or set(value) != {"bundle", "starts", "number"}:
            raise DataError(f"part is {value!r:.80}; expected bundle, starts and number.")
        bundle, starts, number = value["bundle"], value["starts"], value["number"]
        if type(bundle) is not str or not isinstance(starts, list) or not all(type(row) is int for row in starts):
            raise DataError(f"part is {value!r:.80}; expected the seal of a bundle, and rows.")
        ascending = all(one < other for one, other in pairwise(starts))
        if not 2 <= len(starts) <= MOST_SHARDS + 1 or starts[0] != 0 or not ascending:
            raise DataError(f"part has starts {starts!r:.80}; expected ascending rows from 0.")
        if number is not None and (type(number) is not int or not 0 <= number < len(starts) - 1):
            raise DataError(f"part has number {number!r:.80}; expected 0 to {len(starts) - 2}, or null for the front.")
        return cls(bundle, tuple(starts), number)

    def to_json(self) -> dict[str, Any]:
        """What bundle.json says of it."""
        return {"bundle": self.bundle, "starts": list(self.starts), "number": self.number}

    @property
    def folder(self) -> str:
        """Its name."""
        return FRONT if self.number is None else f"shard-{self.number}"

    @property
    def rows(self) -> slice:
        """Those of the table that a shard holds."""
        assert self.number is not None
        return slice(*self.starts[self.number : self.number + 2])

    def contents(self, whole: Contents) -> Contents:
        """What a part holds of what the bundle holds.

        Raises:
            DataError: the rows are not those of the bundle, or its task has no table.
        """
        total = whole.labels.get("entities")
        if _TABLE not in whole.tensors or (total is not None and total != self.starts[-1]):
            raise DataError(f"a part of {self.starts[-1]:,} rows does not go with a bundle of {total} entities.")
        if self.number is None:
            dropped = {_TABLE, *whole.encoding, *whole.scoring}
            return replace(
                whole,
                labels={**whole.labels, "entities": self.starts[-1]},
                tensors={name: specs for name, specs in whole.tensors.items() if name not in dropped},
                graphs=tuple(name for name in whole.graphs if name not in dropped),
                optional=(),
                common=(WEIGHTS, _CARD),
            )
        count = self.rows.stop - self.rows.start
        rows = {
            name: Stored(spec.dtype, (count, *spec.shape[1:]), spec.mapped)
            for name, spec in whole.tensors[_TABLE].items()
        }
        return Contents(
            labels={"entities": count},
            tensors={_TABLE: rows},
            graphs=whole.scoring,
            common=(WEIGHTS, _CARD) if whole.scoring else (_CARD,),
        )
