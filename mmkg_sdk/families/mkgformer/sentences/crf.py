"""A linear-chain CRF over tags: path score, log-partition and exact Viterbi decoding, batched (spec 8).

Shapes: B batch, T positions, C tags. A mask is int64 or bool [B, T]: 1 on the left, from the first position on.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...exported import scan


class CRF(nn.Module):
    """Scores of tag sequences: start, emissions, transitions[previous, next], end."""

    def __init__(self, num_tags: int) -> None:
        super().__init__()
        self.start_transitions = nn.Parameter(torch.empty(num_tags).uniform_(-0.1, 0.1))
        self.end_transitions = nn.Parameter(torch.empty(num_tags).uniform_(-0.1, 0.1))
        self.transitions = nn.Parameter(torch.empty(num_tags, num_tags).uniform_(-0.1, 0.1))

    def log_likelihood(self, emissions: Tensor, tags: Tensor, mask: Tensor) -> Tensor:
        """[B]: log probability of the given tags among all sequences of the same length, at most 0."""
        return self.path_score(emissions, tags, mask) - self.log_partition(emissions, mask)

    def path_score(self, emissions: Tensor, tags: Tensor, mask: Tensor) -> Tensor:
        """[B]: score of one sequence each.

        Args:
            emissions: float [B, T, C].
            tags: int64 [B, T], in range on padding too, where they do not count.
            mask: [B, T].
        """
        kept = mask.to(emissions.dtype)
        emitted = emissions.gather(2, tags[:, :, None])[:, :, 0] * kept
        steps = self.transitions[tags[:, :-1], tags[:, 1:]] * kept[:, 1:]
        last = tags.gather(1, mask.long().sum(dim=1, keepdim=True) - 1)[:, 0]
        return self.start_transitions[tags[:, 0]] + emitted.sum(1) + steps.sum(1) + self.end_transitions[last]

    def log_partition(self, emissions: Tensor, mask: Tensor) -> Tensor:
        """[B]: log of the sum of exp(score) over all sequences, by the forward recursion."""
        scores = self.start_transitions + emissions[:, 0]
        for position in range(1, emissions.shape[1]):
            following = torch.logsumexp(scores[:, :, None] + self.transitions, dim=1) + emissions[:, position]
            scores = torch.where(mask[:, position, None].bool(), following, scores)
        return torch.logsumexp(scores + self.end_transitions, dim=1)

    def decode(self, emissions: Tensor, mask: Tensor) -> Tensor:
        """int64 [B, T]: the best sequence, -1 on padding; of equal scores the lowest tag, decided from the end."""
        return viterbi(emissions, mask, self.start_transitions, self.transitions, self.end_transitions)


def viterbi(emissions: Tensor, mask: Tensor, start: Tensor, transitions: Tensor, end: Tensor) -> Tensor:
    """int64 [B, T]: the best sequence, -1 on padding; written so that it can be exported as it stands.

    Scores are added in the order of the authors' library, so that what ties there ties here. Padding hands scores and
    tags on unchanged. Following the pointers back composes all of them in log2(T) steps instead of T.
    """

    def step(scores: Tensor, following: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor]]:
        emission, kept = following
        best = (scores[:, :, None] + transitions + emission[:, None]).amax(dim=1)
        return torch.where(kept, best, scores), (scores.clone(),)

    inside, steps = mask.bool(), emissions.shape[1] - 1
    first = start + emissions[:, 0]
    if not steps:
        return _first_best(first + end)[:, None]
    scores, (before,) = scan(step, first, (emissions[:, 1:].transpose(0, 1), inside[:, 1:, None].transpose(0, 1)))
    last = _first_best(scores + end)[:, None]
    arrivals = before.transpose(0, 1)[:, :, :, None] + transitions + emissions[:, 1:, None]
    # pointers[t] leads from each tag at t + reach to the tag at t.
    pointers = _first_best(arrivals.transpose(2, 3))
    pointers = torch.where(inside[:, 1:, None], pointers, torch.arange(len(start), device=mask.device))
    reach = 1
    while reach < steps:
        pointers = torch.cat([pointers[:, :-reach].gather(2, pointers[:, reach:]), pointers[:, -reach:]], dim=1)
        reach *= 2
    tags = pointers.gather(2, last[:, None].expand(-1, steps, -1))[:, :, 0]
    return torch.where(inside, torch.cat([tags, last], dim=1), -1)


def _first_best(scores: Tensor) -> Tensor:
    """int64 [...]: the first of the largest along the last axis. Runtimes differ in which of equals arg-max takes."""
    order = torch.arange(scores.shape[-1], device=scores.device)
    largest = scores == scores.amax(dim=-1, keepdim=True)
    return torch.where(largest, order, scores.shape[-1]).amin(dim=-1)
