"""Entity linking: every mention against all candidates, as the authors' program counts it (MIMIC spec, section 6).

The rank is that of the right entity in a stable descending sort: of equal scores the lower row comes first. There is no
filtering and no candidate list.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..answering.entity_linking import Linker
from ..backends.torch_precision import full_float32
from ..data.mentions import LinkingData, Mention
from ..data.open import open_kind
from ..errors import DataError
from ..families import contract
from ..families.tensor_ranks import tensor_ranks
from ..files.labels import Labels
from ..ranking.exact import RankingProtocol, Ranks, filtered_ranks
from ..ranking.known_triples import AnswerLists
from ..run import Run
from .reports import VALIDATION_STAND_IN

if TYPE_CHECKING:
    from torch import Tensor

SELECTED = "mrr"
HITS = (1, 3, 5, 10, 20)
# Mentions ranked at a time; memory is this x candidates x 4 bytes, some times over.
MENTION_CHUNK = 64
_PROTOCOL = RankingProtocol("stable")

# Scores of the mentions in some rows with every candidate, float32 [rows, candidates]; tensors are ranked where they
# are.
Scorer = Callable[[slice], "NDArray[np.float32] | Tensor"]


@dataclass(frozen=True)
class LinkingReport:
    """Where the right entity of every mention stands.

    Attributes:
        ranks: int64 [mentions], from 1.
        candidates: how many there were.
        cut: mentions whose text is longer than what the model reads; None where nobody knows.
    """

    ranks: NDArray[np.int64]
    candidates: int
    cut: int | None = None

    def metrics(self) -> dict[str, float]:
        """mean_rank, mrr, hits_at_1, hits_at_3, hits_at_5, hits_at_10, hits_at_20 (float64 means)."""
        found = {"mean_rank": float(self.ranks.mean()), "mrr": float((1.0 / self.ranks).mean())}
        return found | {f"hits_at_{k}": float((self.ranks <= k).mean()) for k in HITS}

    def to_json(self) -> dict[str, Any]:
        """The metrics and what they were counted on."""
        counts = {"mentions": len(self.ranks), "candidates": self.candidates}
        return {**counts, **({} if self.cut is None else {"cut": self.cut}), **self.metrics()}


def evaluate_run(run: Run, model: Any, split: str) -> LinkingReport:
    """Rank a split with the torch model of a run.

    Args:
        model: on its device; left in eval mode.
        split: "train", "valid" or "test"; an empty validation split is replaced by 1,000 training mentions.
    """
    count = None
    if split == "valid" and not len(run.tensors("mentions-valid")["answers"]):
        split, count = "train", VALIDATION_STAND_IN
    mentions = run.tensors(f"mentions-{split}")
    cut = mentions["cut"][:count] if "cut" in mentions else None  # neither older versions nor token ids tell
    with full_float32(next(model.parameters()).device):
        scores = contract.linking_scoring(run.family).scorer(model, run)
        return evaluate_linking(lambda rows: scores(split, rows), mentions["answers"][:count], cut)


def evaluate_bundle(linker: Linker, split: str, data: str | None) -> LinkingReport:
    """Rank a split of a data set with an opened bundle. An image that cannot be read is none, with a warning.

    Args:
        data: as `open_data` takes it; a bundle holds no mentions.

    Raises:
        DataError: no data, of another kind, or an answer that is no entity of the bundle.
    """
    if data is None:
        raise DataError("an entity linking bundle holds no mentions; name the data set with --data.")
    found = open_kind(data, LinkingData)
    answers = answer_rows(linker.entities, linker.bundle.path, found, split)
    mentions = [Mention(one.text, one.sentence, one.image) for one in found.split(split)]
    cut = linker.read_texts(mentions).cut
    _check(answers, cut)
    return _report(linker.rank_mentions(mentions, answers, unreadable="none"), len(linker.entities), cut)


def evaluate_linking(scores: Scorer, answers: NDArray[np.int64], cut: NDArray[np.bool_] | None = None) -> LinkingReport:
    """Rank the right entity of every mention among all candidates.

    Args:
        scores: gives the scores of some mentions.
        answers: int64 [mentions], row of the right entity.
        cut: bool [mentions], whose text is longer than what the model reads; a warning counts them.

    Raises:
        DataError: if there is no mention.
        BackendError: if a score is NaN.
    """
    _check(answers, cut)
    ranks, candidates = np.empty(len(answers), np.int64), 0
    for start in range(0, len(answers), MENTION_CHUNK):
        rows = slice(start, min(start + MENTION_CHUNK, len(answers)))
        block = scores(rows)
        candidates = block.shape[1]
        nothing = AnswerLists(np.zeros(len(block) + 1, np.int64), np.empty(0, np.int64))
        found = _ranks(block, answers[rows], nothing)
        ranks[rows] = found.published.astype(np.int64)
    return _report(ranks, candidates, cut)


def _check(answers: NDArray[np.int64], cut: NDArray[np.bool_] | None) -> None:
    """There is something to rank; what is not read of it is said."""
    if not len(answers):
        raise DataError("this split has no mentions, so there is nothing to evaluate. Choose another split.")
    if cut is not None and cut.any():
        warnings.warn(
            f"{cut.sum():,} of {len(cut):,} mentions have longer sentences than the model reads (text_length); what is "
            "behind is not read, as in the published evaluation.",
            stacklevel=4,
        )


def _report(ranks: NDArray[np.int64], candidates: int, cut: NDArray[np.bool_] | None) -> LinkingReport:
    return LinkingReport(ranks, candidates, None if cut is None else int(cut.sum()))


def _ranks(scores: NDArray[np.float32] | Tensor, answers: NDArray[np.int64], known: AnswerLists) -> Ranks:
    """Where the scores are."""
    if isinstance(scores, np.ndarray):
        return filtered_ranks(scores, answers, known, _PROTOCOL)
    return tensor_ranks(scores, answers, known, _PROTOCOL)


def answer_rows(entities: Labels, bundle: Path, data: LinkingData, split: str) -> NDArray[np.int64]:
    """The rows of the right entities among those of a bundle, by label.

    Raises:
        DataError: the bundle lacks one.
    """
    rows = {one.entity: entities.find(data.entities[one.entity]) for one in data.split(split)}
    for entity, row in rows.items():
        if row is None:
            raise DataError(
                f"{data.name}: entity {data.entities[entity]!r:.120} is not in {bundle}. Pass the data set that the "
                "model was trained on."
            )
    return np.array([rows[one.entity] for one in data.split(split)], np.int64)
