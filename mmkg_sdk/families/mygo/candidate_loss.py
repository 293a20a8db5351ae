"""Cross-entropy over many candidates: all of them in chunks, exactly, or a sample of them."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

# Scores of a batch that are kept for their gradients, in bytes of float32. The published data sets are below it.
_SCORE_BYTES = 1 << 28
_CHUNK_BYTES = 1 << 25


def cross_entropy(queries: Tensor, candidates: Tensor, answers: Tensor, smoothing: float) -> Tensor:
    """Mean cross-entropy of queries . candidates, in chunks where the scores would take much memory.

    Args:
        queries: [B, d]; candidates: [N, d].
        answers: int64 [B], rows of the candidates.
        smoothing: share of the target that is spread over all candidates.
    """
    if 4 * len(queries) * len(candidates) <= _SCORE_BYTES:
        return F.cross_entropy(_at_least_float32(queries @ candidates.T), answers, label_smoothing=smoothing)
    rows = max(1, _CHUNK_BYTES // (4 * len(queries)))
    return chunked_cross_entropy(queries, candidates, answers, smoothing, rows=rows)


def chunked_cross_entropy(
    queries: Tensor, candidates: Tensor, answers: Tensor, smoothing: float, *, rows: int
) -> Tensor:
    """The same up to rounding, for B * `rows` scores at a time, which are made again for their gradients."""
    parts = [
        checkpoint(_log_sum_exp, queries, some, use_reentrant=False)  # type: ignore[no-untyped-call]
        for some in torch.split(candidates, rows)
    ]
    own = (queries * F.embedding(answers, candidates)).sum(dim=1)
    spread = queries @ candidates.mean(dim=0)  # the mean of all scores
    return (torch.stack(parts).logsumexp(dim=0) - (1 - smoothing) * own - smoothing * spread).mean()


def sampled_cross_entropy(
    queries: Tensor,
    own: Tensor,
    others: Tensor,
    is_answer: Tensor,
    smoothing: float,
    *,
    num_candidates: int,
) -> Tensor:
    """The mean cross-entropy over `num_candidates`, from the answers and a sample of all, drawn with equal chances.

    The others stand for the N - 1 wrong answers: each of n counts (N - 1) / n times in the sum of exponentials, so that
    the sample of all gives the cross-entropy itself.

    Args:
        queries: [B, d].
        own: [B, d], the answers; others: [K, d], the sample.
        is_answer: bool [B, K], where the sample holds the answer; it does not count there.
    """
    scores, right = _at_least_float32(queries @ others.T), _at_least_float32((queries * own).sum(dim=1))
    count = (~is_answer).sum(dim=1)
    weight = math.log(max(1, num_candidates - 1)) - count.clamp_min(1).log().to(scores.dtype)
    wrong = (scores + weight[:, None]).masked_fill(is_answer, -math.inf)
    mean = scores.masked_fill(is_answer, 0.0).sum(dim=1) / count.clamp_min(1)
    spread = (right + (num_candidates - 1) * mean) / num_candidates
    total = torch.cat([right[:, None], wrong], dim=1).logsumexp(dim=1)
    return (total - (1 - smoothing) * right - smoothing * spread).mean()


def _log_sum_exp(queries: Tensor, candidates: Tensor) -> Tensor:
    return _at_least_float32(queries @ candidates.T).logsumexp(dim=1)


def _at_least_float32(values: Tensor) -> Tensor:
    return values.to(torch.promote_types(values.dtype, torch.float32))
