"""Modalities left out of linking data and of sentences; of knowledge graphs see features/test_files.py."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from mmkg_sdk.data.dropped import drop_modalities
from mmkg_sdk.data.graph import SPLITS
from mmkg_sdk.data.mentions import LinkingData
from mmkg_sdk.data.open import open_data
from mmkg_sdk.data.sentences import RelationData, RelationSentence, SentenceImages, TaggedSentence, TaggingData
from mmkg_sdk.errors import DataError


def mentions() -> LinkingData:
    data = open_data("atlas-mentions")
    assert isinstance(data, LinkingData)
    image = Path("flag.png")
    train, valid, test = (tuple(dataclasses.replace(one, image=image) for one in data.split(split)) for split in SPLITS)
    return dataclasses.replace(data, images=(image,) * len(data.entities), train=train, valid=valid, test=test)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_entities_and_mentions_lose_as_large_a_share_of_their_images(share: float) -> None:
    data = mentions()
    found = drop_modalities(data, {"image": share}, seed=5)
    assert isinstance(found, LinkingData)
    sides = [found.images, *([one.image for one in found.split(split)] for split in SPLITS)]
    for side in sides:
        assert sum(image is None for image in side) == round(share * len(side))
    assert found.texts == data.texts
    assert [one.sentence for one in found.test] == [one.sentence for one in data.test]
    assert found == drop_modalities(data, {"image": share}, seed=5)
    assert share in (0.0, 1.0) or found != drop_modalities(data, {"image": share}, seed=6)


def test_texts_and_sentences_go_and_names_stay() -> None:
    data = mentions()
    found = drop_modalities(data, {"text": 1}, seed=0)
    assert isinstance(found, LinkingData)
    assert set(found.texts) == {""}
    assert found.names == data.names
    for split in SPLITS:
        assert {one.sentence for one in found.split(split)} == {""}
        assert [(one.text, one.image, one.entity) for one in found.split(split)] == [
            (one.text, one.image, one.entity) for one in data.split(split)
        ]


@pytest.mark.parametrize("source", ["atlas-relations", "atlas-tags"])
def test_sentences_lose_images_alone(source: str) -> None:
    data = open_data(source)
    assert isinstance(data, RelationData | TaggingData)
    bare = SentenceImages()
    found = drop_modalities(data, {"image": 0.5}, seed=1)
    assert isinstance(found, type(data))
    for split in SPLITS:
        before: Sequence[RelationSentence | TaggedSentence] = data.split(split)
        after: Sequence[RelationSentence | TaggedSentence] = found.split(split)
        lost = np.array([one.images == bare for one in after])
        pictured = np.array([one.images != bare for one in before])
        assert lost[pictured].any() or not pictured.any()
        assert [one.words for one in after] == [one.words for one in before]
        kept = [(a, b) for a, b in zip(before, after, strict=True) if b.images != bare]
        assert all(a == b for a, b in kept)
    with pytest.raises(DataError, match=r"cannot drop text=1; expected image"):
        drop_modalities(data, {"text": 1}, seed=1)


@pytest.mark.parametrize("share", [-0.1, 1.1, "half", True])
def test_shares_out_of_range_are_refused(share: float) -> None:
    with pytest.raises(DataError, match="cannot drop"):
        drop_modalities(mentions(), {"image": share}, seed=0)
