"""The conditions of a bundle that reads sentences: with which of their images, and with which of their words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmkg_sdk.data.sentences import RelationSentence
from mmkg_sdk.errors import DataError, QueryError

from .conditions import SHARES, Condition, Part, Plan
from .entity_inputs import some_rows
from .picture_changes import BY_CHANCE, CHANGES
from .sentences import GROUPS, AskedSentences, Shown


def sentence_plan(
    asked: AskedSentences, parts: Sequence[Part], *, other_images: Path | None, tokens: object, seeds: Sequence[int]
) -> Plan:
    """What can be measured of sentences.

    Args:
        other_images: a folder with pictures of the same file names.
        tokens: numbers of tokens, which these graphs do not take.

    Raises:
        QueryError: numbers of tokens.
        DataError: no picture in `other_images` is called as one of a sentence, or names are not unique.
    """
    if tokens:
        raise QueryError(
            "the graphs of this bundle take one length of text and one size of images. Leave --tokens out."
        )
    plan = Plan([], [])
    if not len(asked.pictured):
        plan.left_out.append("No sentence has an image that the model looks at, so images are left out.")
    if "frontier" in parts:
        plan.conditions.extend(_settings(asked))
        plan.left_out.append(
            "The graphs take one length of text and one size of images, so numbers of tokens and patches are left out. "
            "A sentence without images is spared the image encoder."
        )
    if "pictures" in parts:
        plan.conditions.extend(_numbers(asked, seeds))
    if "robustness" in parts:
        plan.conditions.extend(_losses(asked, seeds))
        plan.conditions.extend(_worse(asked, seeds))
        if isinstance(asked.sentences[0], RelationSentence):
            plan.conditions.extend(_bare(asked, seeds))
        else:
            plan.left_out.append("Words are not dropped: they are what is tagged.")
        if other_images is not None:
            plan.conditions.append(_other(asked, other_images))
        elif len(asked.pictured):
            plan.left_out.append("Pictures by somebody else are left out. Name some: --other-images DIR.")
    return plan


def _settings(asked: AskedSentences) -> Iterator[Condition]:
    """The text with all groups of images, with one of several, and alone."""
    settings = [("text + image", tuple(asked.most)), ("text", ())]
    if len(asked.most) > 1:
        settings[1:1] = [(f"text + {GROUPS[group]}", (group,)) for group in asked.most]
    for level, kept in settings if asked.most else settings[-1:]:
        modalities = {"text": True} | {group: group in kept for group in asked.most}
        make = partial(asked.fewer, {group: 0 for group in asked.most if group not in kept})
        yield Condition("frontier", "modalities", level, {"modalities": modalities}, (0,), make)


def _numbers(asked: AskedSentences, seeds: Sequence[int]) -> Iterator[Condition]:
    for group, most in asked.most.items():
        for count in range(most + 1):
            what, level, settings = f"{GROUPS[group]} of a sentence", f"{count} of {most}", {"pictures": count}
            drawn = seeds if 0 < count < most else (0,)
            make = partial(asked.fewer, {group: count})
            yield Condition("pictures", what, level, {**settings, "group": group}, drawn, make)


def _losses(asked: AskedSentences, seeds: Sequence[int]) -> Iterator[Condition]:
    yield from _shares("image dropped", asked.without, asked.pictured, seeds, whole_by_chance=False)
    if len(asked.pictured) > 1:
        yield from _shares("image of another sentence", asked.exchanged, asked.pictured, seeds, whole_by_chance=True)


def _bare(asked: AskedSentences, seeds: Sequence[int]) -> Iterator[Condition]:
    everyone = np.arange(len(asked.sentences))
    yield from _shares("all words but head and tail dropped", asked.bare, everyone, seeds, whole_by_chance=False)


def _shares(
    what: str,
    make: Callable[[NDArray[np.int64]], Shown],
    rows: NDArray[np.int64],
    seeds: Sequence[int],
    *,
    whole_by_chance: bool,
) -> Iterator[Condition]:
    def made(share: float, seed: int) -> Shown:
        return make(some_rows(rows, share, seed))

    for share in SHARES if len(rows) else ():
        drawn = seeds if share < 1 or whole_by_chance else (0,)
        level = f"{100 * share:.0f} % of the sentences"
        yield Condition("robustness", what, level, {"share": share}, drawn, partial(made, share))


def _worse(asked: AskedSentences, seeds: Sequence[int]) -> Iterator[Condition]:
    for name, strengths in CHANGES.items():
        for strength, change in strengths.items() if len(asked.pictured) else ():
            drawn = seeds if name in BY_CHANCE else (0,)
            make = partial(asked.changed, change)
            yield Condition("robustness", name, strength, {"strength": strength}, drawn, make)


def _other(asked: AskedSentences, folder: Path) -> Condition:
    images = asked.others(folder)
    if not images:
        raise DataError(f"{folder} has no picture called as that of a sentence. Name files as those of the data set.")

    def make(seed: int) -> Shown:
        return asked.with_images(images)

    level = f"of {len(images):,} of {len(asked.pictured):,} sentences"
    return Condition("robustness", "pictures by somebody else", level, {"sentences": len(images)}, (0,), make)
