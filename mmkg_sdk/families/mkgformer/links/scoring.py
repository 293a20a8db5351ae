"""How the torch model answers the queries of a run: what evaluation measures and export is held against."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ....ranking.known_triples import Queries
from ....run import Run
from ...link_prediction import LinkScorer, host_table
from ..encoder import Images, Texts
from ..images import image_groups
from .model import LinkPredictor
from .texts import queries_by_length, stored_texts


def scorer(model: LinkPredictor, run: Run) -> LinkScorer:
    """Scores of all entities for a chunk of queries, in the model's own dtype, each query at its own length.

    Args:
        model: left in eval mode.
    """
    model.eval()
    config, groups, image_rows = model.config, image_groups(run.tensors("images")), run.inputs["image_rows"]
    texts = stored_texts(run.inputs, config)
    with torch.inference_mode():
        table = model.entity_table()

    def answers(queries: Queries, width: int, answer: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """What `answer` makes of the query vectors, [batch, width]."""
        dtype = torch.float64 if table.dtype == torch.float64 else torch.float32
        found = torch.empty((len(queries), width), dtype=dtype, device=table.device)
        for rows, tokens in queries_by_length(texts, queries, config.visual_tokens):
            input_ids = torch.as_tensor(tokens, device=table.device)
            shown = groups.images(torch.as_tensor(image_rows[queries.shown[rows]], device=table.device))
            shown = Images(*(None if group is None else group.to(table.dtype) for group in shown))
            with torch.inference_mode():
                vectors = model.query_vectors(Texts(input_ids, torch.ones_like(input_ids)), shown)
                found[torch.as_tensor(rows, device=table.device)] = answer(vectors).to(dtype)
        return found

    return LinkScorer(
        lambda queries: answers(queries, len(table), lambda vectors: vectors @ table.T),
        lambda queries: answers(queries, table.shape[1], lambda vectors: vectors).cpu().numpy(),
        host_table(table),
        table.device,
    )
