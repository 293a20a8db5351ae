"""From an opened bundle to what is measured of it, by its task."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmkg_sdk.answering.link_prediction import Model
from mmkg_sdk.answering.relation_extraction import Extractor
from mmkg_sdk.answering.sentences import SentenceModel
from mmkg_sdk.bundle import Bundle
from mmkg_sdk.registry import ENTITY_LINKING

from .conditions import Part, Plan, Subject
from .link_plan import Counts, link_plan
from .links import LinkSubject
from .mentions import AskedMentions, MentionSubject, mention_plan
from .pictured_links import PicturedSubject, pictured_plan, shows_images
from .sentence_plan import sentence_plan
from .sentence_subjects import RelationSubject, TagSubject
from .sentences import AskedSentences


def planned(
    opened: Any,
    parts: Sequence[Part],
    *,
    data: str | None,
    images: Path | None,
    other_images: Path | None,
    tokens: Counts,
    split: str,
    most: int,
    seeds: Sequence[int],
) -> tuple[Plan, Subject]:
    """The conditions, and what measures them; see `run_quality`."""
    bundle: Bundle = opened.bundle
    if bundle.config.task == ENTITY_LINKING:
        asked = AskedMentions.of(bundle, data, images, split, most)
        plan = mention_plan(asked, parts, other_images=other_images, tokens=tokens, seeds=seeds)
        return plan, MentionSubject(opened, asked.mentions, asked.answers)
    if isinstance(opened, SentenceModel):
        some = AskedSentences.of(opened, data, images, split, most)
        plan = sentence_plan(some, parts, other_images=other_images, tokens=tokens, seeds=seeds)
        subject = RelationSubject if isinstance(opened, Extractor) else TagSubject
        return plan, subject(opened, some.sentences)
    if isinstance(opened, Model) and shows_images(opened):
        pictured = PicturedSubject(opened, split, most)
        return pictured_plan(
            pictured, parts, data=data, images=images, other_images=other_images, tokens=tokens, seeds=seeds
        ), pictured
    plan = link_plan(bundle, parts, data=data, images=images, other_images=other_images, tokens=tokens, seeds=seeds)
    return plan, LinkSubject(opened, split, most)
