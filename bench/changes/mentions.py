"""MentionSubject: a bundle of entity linking, and mentions with less, worse and other text and pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmkg_sdk.answering.entity_linking import Linker
from mmkg_sdk.bundle import Bundle
from mmkg_sdk.data.mentions import LinkingData, Mention
from mmkg_sdk.data.open import kind_of, open_data
from mmkg_sdk.errors import DataError, QueryError
from mmkg_sdk.evaluation.entity_linking import LinkingReport, answer_rows

from .conditions import SHARES, Condition, Outcome, Part, Plan
from .entity_inputs import some_rows
from .picture_changes import BY_CHANCE, CHANGES, Change, changed_file

Mentions = list[Mention]
# Encoded for a clock.
_TIMED = 128


class MentionSubject:
    """Mentions are ranked by the published protocol; of each counts its reciprocal rank.

    Args:
        mentions: as they are.
        answers: int64 [mentions], rows of the right entities.
    """

    metric, items, unit = "mrr", "mentions", "mentions"

    def __init__(self, linker: Linker, mentions: Mentions, answers: NDArray[np.int64]) -> None:
        self._linker, self._mentions, self._answers = linker, mentions, answers

    def measure(self, given: Mentions | None) -> Outcome:
        """See Subject."""
        ranks = self._linker.rank_mentions(given or self._mentions, self._answers, unreadable="none")
        return Outcome(LinkingReport(ranks, len(self._linker.entities)).metrics(), (1 / ranks)[:, None])

    def value(self, sums: NDArray[np.float64], count: int) -> NDArray[np.float64]:
        """See Subject."""
        return sums[..., 0] / count

    def run_once(self, given: Mentions) -> int:
        """See Subject; scores with the candidates take the same time whatever a mention has."""
        some = given[:_TIMED]
        self._linker.encode_mentions(some, skip_unreadable=True)
        return len(some)


@dataclass(frozen=True)
class AskedMentions:
    """The mentions of a split, and the right answers."""

    mentions: Mentions
    answers: NDArray[np.int64]

    @classmethod
    def of(cls, bundle: Bundle, data: str | None, images: Path | None, split: str, most: int) -> AskedMentions:
        """Of a data set; of more than `most`, so many are drawn with seed 0.

        Raises:
            DataError: no data, of another kind, none in this split, or an answer that is no entity of the bundle.
        """
        if data is None:
            raise DataError("an entity linking bundle holds no mentions; name the data set with --data.")
        found = open_data(data, images=images)
        if not isinstance(found, LinkingData):
            raise DataError(f"{data} holds {kind_of(found)}; expected mentions and entities. Name other data.")
        answers = answer_rows(bundle.entities, bundle.path, found, split)
        mentions = [Mention(one.text, one.sentence, one.image) for one in found.split(split)]
        if not mentions:
            raise DataError(f"{data} has no {split} mentions. Choose another split.")
        if len(mentions) > most:
            rows = np.sort(np.random.default_rng(0).permutation(len(mentions))[:most])
            mentions, answers = [mentions[row] for row in rows.tolist()], answers[rows]
        return cls(mentions, answers)

    @property
    def pictured(self) -> NDArray[np.int64]:
        """Rows of those that have an image."""
        return np.flatnonzero([one.image is not None for one in self.mentions])

    @property
    def described(self) -> NDArray[np.int64]:
        """Rows of those that stand in a sentence."""
        return np.flatnonzero([bool(one.sentence) for one in self.mentions])

    def without(self, images: NDArray[np.int64], sentences: NDArray[np.int64]) -> Mentions:
        """Some without their image, and some without their sentence."""
        found = list(self.mentions)
        for row in images.tolist():
            found[row] = Mention(found[row].text, found[row].sentence, None)
        for row in sentences.tolist():
            found[row] = Mention(found[row].text, "", found[row].image)
        return found

    def exchanged(self, rows: NDArray[np.int64]) -> Mentions:
        """Each of some mentions has the image that the next of them had."""
        found = list(self.mentions)
        for row, other in zip(rows.tolist(), np.roll(rows, 1).tolist(), strict=True):
            found[row] = Mention(found[row].text, found[row].sentence, self.mentions[other].image)
        return found

    def changed(self, change: Change, seed: int) -> Mentions:
        """Every image changed."""
        random, found = np.random.default_rng(seed), list(self.mentions)
        for row in self.pictured.tolist():
            path = found[row].image
            assert isinstance(path, Path)
            found[row] = Mention(found[row].text, found[row].sentence, changed_file(path, change, random))
        return found

    def other(self, folder: Path) -> dict[int, Path]:
        """Pictures of the same names in another folder, by row."""
        found = {row: folder / Path(str(self.mentions[row].image)).name for row in self.pictured.tolist()}
        return {row: path for row, path in found.items() if path.is_file()}

    def with_images(self, images: Mapping[int, Path]) -> Mentions:
        """Some with other images."""
        found = list(self.mentions)
        for row, path in images.items():
            found[row] = Mention(found[row].text, found[row].sentence, path)
        return found


def mention_plan(
    asked: AskedMentions, parts: Sequence[Part], *, other_images: Path | None, tokens: object, seeds: Sequence[int]
) -> Plan:
    """What can be measured of mentions.

    Args:
        other_images: a folder with pictures of the same file names.
        tokens: numbers of tokens, which these graphs do not take.

    Raises:
        QueryError: numbers of tokens.
        DataError: no picture in `other_images` is called as one of a mention.
    """
    if tokens:
        raise QueryError(
            "the graphs of this bundle take one length of text and one size of images. Leave --tokens out."
        )
    plan = Plan([], [])
    if "frontier" in parts:
        plan.conditions.extend(_settings(asked))
        plan.left_out.append(
            "The graphs take one length of text and one size of images, so numbers of tokens and patches are left out."
        )
    if "pictures" in parts:
        plan.left_out.append("A mention has one picture, and a candidate's is encoded at export: no number can vary.")
    if "robustness" in parts:
        plan.conditions.extend(_changes(asked, seeds))
        if other_images is None:
            plan.left_out.append("Pictures by somebody else are left out. Name some: --other-images DIR.")
        else:
            plan.conditions.append(_other(asked, other_images))
    return plan


def _settings(asked: AskedMentions) -> list[Condition]:
    nobody, found = np.empty(0, np.int64), []
    for sentence in (True, False):
        for image in (True, False):
            rows = nobody if image else asked.pictured, nobody if sentence else asked.described
            level = " + ".join(["name", *(["sentence"] if sentence else []), *(["image"] if image else [])])

            def make(seed: int, rows: tuple[NDArray[np.int64], NDArray[np.int64]] = rows) -> Mentions:
                return asked.without(*rows)

            settings = {"modalities": {"sentence": sentence, "image": image}}
            found.append(Condition("frontier", "modalities", level, settings, (0,), make))
    return found


def _changes(asked: AskedMentions, seeds: Sequence[int]) -> list[Condition]:
    nobody = np.empty(0, np.int64)

    def images(share: float, seed: int) -> Mentions:
        return asked.without(some_rows(asked.pictured, share, seed), nobody)

    def sentences(share: float, seed: int) -> Mentions:
        return asked.without(nobody, some_rows(asked.described, share, seed))

    def exchanged(share: float, seed: int) -> Mentions:
        return asked.exchanged(some_rows(asked.pictured, share, seed))

    kinds: list[tuple[str, Callable[[float, int], Mentions], NDArray[np.int64]]] = [
        ("image dropped", images, asked.pictured),
        ("sentence dropped", sentences, asked.described),
        ("image of another mention", exchanged, asked.pictured),
    ]
    found = []
    for what, make, rows in kinds:
        for share in SHARES if len(rows) > 1 else ():
            drawn = seeds if share < 1 or make is exchanged else (0,)
            level, settings = f"{100 * share:.0f} % of the mentions", {"share": share}
            found.append(Condition("robustness", what, level, settings, drawn, partial(make, share)))
    for name, strengths in CHANGES.items():
        for strength, change in strengths.items() if len(asked.pictured) else ():
            drawn = seeds if name in BY_CHANCE else (0,)
            settings_of = {"strength": strength}
            found.append(Condition("robustness", name, strength, settings_of, drawn, partial(asked.changed, change)))
    return found


def _other(asked: AskedMentions, folder: Path) -> Condition:
    images = asked.other(folder)
    if not images:
        raise DataError(f"{folder} has no picture called as that of a mention. Name files as those of the data set.")

    def make(seed: int) -> Mentions:
        return asked.with_images(images)

    level = f"of {len(images):,} of {len(asked.pictured):,} mentions"
    return Condition("robustness", "pictures by somebody else", level, {"mentions": len(images)}, (0,), make)
