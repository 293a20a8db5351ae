"""Candidates: entities that are looked up and sorted once, and ranked in any number of calls."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..bundle import Bundle
from ..errors import QueryError


@dataclass(frozen=True, eq=False)
class Candidates:
    """What `Model.candidates` gives. It stays valid when entities are added, which are none of it.

    Attributes:
        ids: int64, ascending, none twice, read-only.
    """

    ids: NDArray[np.int64]
    _bundle: Bundle = field(repr=False)

    @classmethod
    def of(cls, ids: NDArray[np.int64], bundle: Bundle) -> Candidates:
        """Those of a model of the bundle; in any order, and repeated ones count once."""
        ascending = len(ids) < 2 or bool((np.diff(ids) > 0).all())
        chosen = ids.copy() if ascending else np.unique(ids)
        chosen.flags.writeable = False
        return cls(chosen, bundle)

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"Candidates({len(self):,} of {str(self._bundle.path)!r})"

    def ids_for(self, bundle: Bundle) -> NDArray[np.int64]:
        """The ids, for a model of a bundle.

        Raises:
            QueryError: they were prepared by another model, where ids may mean other entities.
        """
        if bundle is not self._bundle:
            raise QueryError(
                f"{self!r} were prepared by another model than that of {str(bundle.path)!r}. Prepare them with "
                "`candidates` of the model that is asked."
            )
        return self.ids
