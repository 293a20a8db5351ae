"""From a bundle to what is measured of it, by its task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mmkg_sdk.bundle import Bundle
from mmkg_sdk.registry import ENTITY_LINKING

from .conditions import Part, Plan, Subject
from .link_plan import Counts, link_plan
from .links import LinkSubject
from .mentions import AskedMentions, MentionSubject, mention_plan


def planned(
    bundle: Bundle,
    parts: Sequence[Part],
    *,
    data: str | None,
    images: Path | None,
    other_images: Path | None,
    tokens: Counts,
    split: str,
    most: int,
    seeds: Sequence[int],
) -> tuple[Plan, Callable[[Any], Subject]]:
    """The conditions, and from the opened bundle to what measures them; see `run_quality`."""
    if bundle.config.task == ENTITY_LINKING:
        asked = AskedMentions.of(bundle, data, images, split, most)
        plan = mention_plan(asked, parts, other_images=other_images, tokens=tokens, seeds=seeds)
        return plan, lambda linker: MentionSubject(linker, asked.mentions, asked.answers)
    plan = link_plan(bundle, parts, data=data, images=images, other_images=other_images, tokens=tokens, seeds=seeds)
    return plan, lambda model: LinkSubject(model, split, most)
