"""Filtered ranks where a torch model's scores are, so that no matrix of them comes to the host.

`ranking.exact.filtered_ranks` says what is counted; this counts the same with torch, and three numbers a query come
back. Comparisons and whole numbers, so the ranks of given scores are the same on every device. Never run on a GPU: the
tests count on the CPU.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..ranking.exact import RankingProtocol, Ranks, nan_score, ranks_of_counts
from ..ranking.known_triples import AnswerLists

if TYPE_CHECKING:
    from torch import Tensor

# Numbers looked at in one go: bounds what a comparison takes beside the scores, a byte each.
_NUMBERS = 1 << 26


def tensor_ranks(scores: Tensor, targets: NDArray[np.int64], known: AnswerLists, protocol: RankingProtocol) -> Ranks:
    """What `filtered_ranks` gives for the same scores.

    Args:
        scores: [batch, candidates], float32 or float64, on any device.
        targets: int64 [batch], the right answers.
        known: all known answers of each query; the target may be among them.
        protocol: what counts as before the target.

    Raises:
        BackendError: if a score is NaN.
    """
    import torch

    def place(array: NDArray[Any]) -> Tensor:
        return torch.as_tensor(np.ascontiguousarray(array), device=scores.device)

    with torch.inference_mode():
        right = place(targets)
        target_scores = scores.gather(1, right[:, None])
        counts = _counts(scores, target_scores, right, stable=protocol.ties == "stable")
        # Other known answers were counted with their own score; now they count with what the protocol leaves of it.
        rows, ids = place(known.rows()), place(known.ids)
        others = ids != right[rows]
        rows, ids = rows[others], ids[others]
        filtered = scores[rows, ids]
        left = filtered - protocol.known_answer_penalty
        goal, lower = target_scores[rows, 0], ids < right[rows]
        for values, sign in ((filtered, -1), (left, 1)):
            equal = values == goal
            changes = torch.stack([values > goal, equal, equal & lower]).to(torch.int64)
            counts.index_add_(1, rows, changes, alpha=sign)
        has_nan = torch.isnan(scores.amax(1)).any() if scores.numel() else torch.zeros((), device=scores.device)
        # One copy, which waits for all of it.
        found = torch.cat([counts.flatten(), has_nan.to(torch.int64)[None]]).cpu().numpy()
    if found[-1]:
        raise nan_score()
    return ranks_of_counts(found[:-1].reshape(3, len(targets)), protocol)


def _counts(scores: Tensor, target_scores: Tensor, targets: Tensor, *, stable: bool) -> Tensor:
    """How many other candidates score better, equal, and equal with a lower id (if `stable`), int64 [3, batch]."""
    import torch

    batch, candidates = scores.shape
    counts = torch.zeros((3, batch), dtype=torch.int64, device=scores.device)
    step = max(1, _NUMBERS // max(1, batch))
    for start in range(0, candidates, step):
        block = scores[:, start : start + step]
        equal = block == target_scores
        counts[0] += (block > target_scores).sum(1)
        counts[1] += equal.sum(1)
        if stable:
            places = torch.arange(start, start + block.shape[1], device=scores.device)
            counts[2] += (equal & (places < targets[:, None])).sum(1)
    counts[1] -= 1  # the target itself
    return counts
