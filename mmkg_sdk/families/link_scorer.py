"""How a torch model of any link prediction family answers queries: tables once, then chunk by chunk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..known_triples import HEAD, Queries


def link_scorer(model: Any) -> Callable[[Queries], NDArray[Any]]:
    """Scores of all entities for a chunk of queries, in the model's own dtype; its tables are made once, now.

    Args:
        model: a torch module with `entity_table()`, `relation_table()`, `scores(entities, relations, queries)` and
            `config.num_entities`, which stands for the missing entity in queries int64 [B, 3]. Left in eval mode.
    """
    with torch.inference_mode():
        model.eval()
        entities, relations = model.entity_table(), model.relation_table()

    def scores(queries: Queries) -> NDArray[Any]:
        missing = np.full(len(queries), model.config.num_entities)
        asks_head = queries.direction == HEAD
        head, tail = np.where(asks_head, missing, queries.entity), np.where(asks_head, queries.entity, missing)
        triples = torch.as_tensor(np.stack([head, queries.relation, tail], axis=1), device=entities.device)
        with torch.inference_mode():
            found: NDArray[Any] = model.scores(entities, relations, triples).cpu().numpy()
        return found

    return scores
