"""The canonical scores of mmkg.h, in numpy: float64 is wide enough to fuse and to round once."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np

from mmkg_sdk.ranking.exact import RankingProtocol
from mmkg_sdk.ranking.known_triples import AnswerLists
from mmkg_sdk.ranking.scores import CandidateScore, ComplexDistance

LANES = 16


def inner_product(query: np.ndarray, row: np.ndarray) -> np.float32:
    """Whole numbers below 2^12 only, or products that float64 adds exactly: then one rounding is a fused one."""
    lanes = np.zeros(LANES, np.float32)
    for a, b in _steps(query, row):
        lanes = (a.astype(np.float64) * b.astype(np.float64) + lanes.astype(np.float64)).astype(np.float32)
    return np.float32(_tree(lanes) + np.float32(0))


def complex_distance(query: np.ndarray, row: np.ndarray, margin: float) -> np.float32:
    """Differences with few bits only, for the same reason."""
    d = len(query) // 2
    lanes = np.zeros(LANES, np.float32)
    real, imaginary = _steps(query[:d], row[:d]), _steps(query[d:], row[d:])
    for (query_re, row_re), (query_im, row_im) in zip(real, imaginary, strict=True):
        re, im = query_re - row_re, query_im - row_im
        rounded = (im * im).astype(np.float64)
        square = (re.astype(np.float64) * re.astype(np.float64) + rounded).astype(np.float32)
        lanes = lanes + np.sqrt(square)
    return np.float32((np.float32(margin) - _tree(lanes)) + np.float32(0))


def canonical(score: CandidateScore, query: np.ndarray, row: np.ndarray) -> np.float32:
    if isinstance(score, ComplexDistance):
        return complex_distance(query, row, score.margin)
    return inner_product(query, row)


def plain_top_k(
    scores: np.ndarray, k: int, excluded: list[list[int]], candidates: np.ndarray | None = None
) -> list[list[int]]:
    """Ids of the k best of each row of scores, by sorting everything."""
    rows = range(scores.shape[1]) if candidates is None else candidates.tolist()
    answers = []
    for own, left_out in zip(scores, excluded, strict=True):
        free = [i for i in rows if i not in left_out and own[i] > -math.inf]
        answers.append(sorted(free, key=lambda i: (-own[i], i))[:k])
    return answers


def plain_ranks(
    scores: np.ndarray, targets: np.ndarray, known: list[list[int]], protocol: RankingProtocol
) -> tuple[list[float], list[float]]:
    """Published and realistic ranks by a loop over all candidates."""
    published, realistic = [], []
    for own, target, answers in zip(scores, targets.tolist(), known, strict=True):
        penalty = np.float32(protocol.known_answer_penalty)
        better = equal = lower = 0
        for i, plain in enumerate(own):
            if i == target:
                continue
            score = plain - penalty if i in answers else plain
            better += score > own[target]
            equal += score == own[target]
            lower += score == own[target] and i < target
        before = {"floor": equal // 2, "optimistic": 0, "stable": lower}[protocol.ties]
        published.append(1.0 + better + before)
        realistic.append(1 + better + equal / 2)
    return published, realistic


def answer_lists(lists: list[list[int]]) -> AnswerLists:
    offsets = np.cumsum([0, *(len(row) for row in lists)]).astype(np.int64)
    return AnswerLists(offsets, np.array([i for row in lists for i in sorted(row)], np.int64))


def as_lists(offsets: np.ndarray, ids: np.ndarray) -> list[list[int]]:
    return [ids[start:end].tolist() for start, end in itertools.pairwise(offsets)]


def _steps(query: np.ndarray, row: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Sixteen coordinates at a time, zeros past the end."""
    missing = -len(query) % LANES
    padded = [np.concatenate([vector, np.zeros(missing, np.float32)]).reshape(-1, LANES) for vector in (query, row)]
    return iter(zip(*padded, strict=True))


def _tree(lanes: np.ndarray) -> np.float32:
    for half in (8, 4, 2, 1):
        lanes = lanes[:half] + lanes[half : 2 * half]
    return np.float32(lanes[0])
