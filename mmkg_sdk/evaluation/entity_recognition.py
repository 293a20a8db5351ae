"""Entity recognition: micro-averages over whole entities, as seqeval counts them by default (MKGformer spec, 8).

Of each sentence the positions count whose right class is neither X nor [SEP] nor padding, from the second one on. What
was found there is taken as it is, X, [CLS], [SEP] and PAD, too: see `tag_chunks`.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..answering.answers.entities import tag_chunks
from ..answering.entity_recognition import Tagger
from ..data.open import open_kind
from ..data.sentences import TaggingData
from ..errors import DataError
from ..families import contract
from ..files.labels import Labels
from ..modalities.words import count_cut
from ..run import Run
from .reports import VALIDATION_STAND_IN, micro_averages

SELECTED = "f1"


@dataclass(frozen=True)
class EntityReport:
    """How many entities of a split were found.

    Attributes:
        counts: int64 [sentences, 3]: hits, found and right of each sentence.
        hits: entities that were found and are right, with both ends and the kind.
        found, right: entities that were found, and that there are.
    """

    counts: NDArray[np.int64]

    @property
    def sentences(self) -> int:
        """How many there are in the split."""
        return len(self.counts)

    @property
    def hits(self) -> int:
        """See above."""
        return int(self.counts[:, 0].sum())

    @property
    def found(self) -> int:
        """See above."""
        return int(self.counts[:, 1].sum())

    @property
    def right(self) -> int:
        """See above."""
        return int(self.counts[:, 2].sum())

    def metrics(self) -> dict[str, float]:
        """precision, recall, f1, from 0 to 1; the published ones are rounded to four decimals."""
        return micro_averages(self.counts)

    def to_json(self) -> dict[str, Any]:
        """The metrics and what they were counted on."""
        return {"sentences": self.sentences, "entities": self.right, "found": self.found, **self.metrics()}


def evaluate_run(run: Run, model: Any, split: str) -> EntityReport:
    """Tag a split with the torch model of a run.

    Args:
        model: on its device; left in eval mode.
        split: "train", "valid" or "test"; an empty validation split is replaced by 1,000 training sentences.
    """
    right = run.tensors(f"sentences-{split}")["labels"]
    if split == "valid" and not len(right):
        split, right = "train", run.tensors("sentences-train")["labels"][:VALIDATION_STAND_IN]
    if not len(right):
        raise DataError(_NOTHING)
    tags = contract.sentence_scoring(run.family).tag_scores(model, run, split, len(right))
    return entity_report(tags, right, run.labels["tags"])


def evaluate_bundle(tagger: Tagger, split: str, data: str | None) -> EntityReport:
    """Tag a split of a data set with an opened bundle. An image that cannot be read is none, with a warning.

    Args:
        data: as `open_data` takes it; a bundle holds no sentences.

    Raises:
        DataError: no data, or of another kind.
    """
    if data is None:
        raise DataError("an entity recognition bundle holds no sentences; name the data set with --data.")
    found = open_kind(data, TaggingData)
    sentences = found.split(split)
    images = [tagger.seen_images(one.images) for one in sentences]
    pieces, tags = tagger.tag_words([one.words for one in sentences], images, unreadable="none")
    if cut := count_cut(pieces.words, pieces.attention_mask, [one.words for one in sentences]):
        warnings.warn(
            f"{found.name}: {cut:,} of {len(sentences):,} sentences have more word pieces than the model reads "
            f"({tagger.max_length - 2}); entities behind are not measured, as in the published evaluation.",
            stacklevel=2,
        )
    right = contract.sentence_runtime(tagger.bundle.family).tag_labels(pieces, [one.tags for one in sentences])
    return entity_report(tags, right, tagger.tags)


def entity_report(tags: NDArray[np.int64], right: NDArray[np.int64], names: Labels) -> EntityReport:
    """Compare the entities of two arrays of classes.

    Args:
        tags: int64 [sentences, positions], rows of `names`, negative on padding.
        right: likewise; 0 on padding.
        names: of the classes, the first one that of padding.

    Raises:
        DataError: if there is no sentence.
    """
    if not len(right):
        raise DataError(_NOTHING)
    left_out = [row for row, name in enumerate(names) if name in ("X", "[SEP]")]
    counted = (tags >= 0) & ~np.isin(right, left_out)
    counted[:, 0] = False
    counts = []
    for at, *rows in zip(counted, tags, right, strict=True):
        found, expected = (set(tag_chunks(names[tag] for tag in row[at])) for row in rows)
        counts.append((len(found & expected), len(found), len(expected)))
    return EntityReport(np.array(counts, np.int64))


_NOTHING = "this split has no sentences, so there is nothing to evaluate. Choose another split."
