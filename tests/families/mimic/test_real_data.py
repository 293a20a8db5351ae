"""WikiMEL as it is published: readers, a random model, a bundle, and ranks. Texts only; its images are not public."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import mmkg_sdk
from mmkg_sdk.answering.entity_linking import Mention
from mmkg_sdk.data.mentions import LinkingData
from mmkg_sdk.data.open import open_data
from mmkg_sdk.evaluation.entity_linking import evaluate_linking
from mmkg_sdk.evaluation.subjects import evaluate_path
from mmkg_sdk.export import export_bundle
from mmkg_sdk.files.labels import Labels
from tests.families.mimic.small import random_run
from tests.places import REAL_DATA

WIKIMEL = REAL_DATA / "WikiMEL"
ENTITIES = 600


@pytest.fixture(scope="module")
def wikimel() -> LinkingData:
    """The mentions of the first entities, so that a run takes seconds."""
    if not WIKIMEL.is_dir():
        pytest.skip(f"{WIKIMEL} is not here")
    with pytest.warns(UserWarning, match="have no sample"):
        data = open_data(WIKIMEL)
    assert isinstance(data, LinkingData)
    assert (len(data.entities), len(data.test)) == (18_880, 5_131)
    splits = {
        split: tuple(mention for mention in data.split(split) if mention.entity < ENTITIES)
        for split in ("train", "valid", "test")
    }
    cut = {name: getattr(data, name)[:ENTITIES] for name in ("names", "texts", "images")}
    return replace(data, entities=Labels(data.entities[:ENTITIES]), **cut, **splits)


def test_real_mentions_are_ranked_alike_by_run_and_bundle(wikimel: LinkingData, tmp_path: Path) -> None:
    run = random_run(tmp_path / "run", wikimel, text_length=40, text_positions=40)
    assert run.tensors("images")["pixels"].shape == (0, 3, 8, 8)
    export_bundle(run, tmp_path / "bundle", precision="fp32")
    by_run = evaluate_path(run.folder, "test", device="cpu")
    with mmkg_sdk.load(tmp_path / "bundle", "onnxruntime", "cpu") as linker:
        mentions = [Mention(one.text, one.sentence) for one in wikimel.test]
        answers = np.array([one.entity for one in wikimel.test])
        by_bundle = evaluate_linking(lambda rows: linker.score_mentions(mentions[rows]), answers)
        link = linker.link_mentions(mentions[0], k=3)[0]
    assert by_bundle.candidates == ENTITIES
    assert len(by_bundle.ranks) > 50
    assert by_run.metrics()["mrr"] == pytest.approx(by_bundle.metrics()["mrr"], abs=1e-3)
    assert set(link.labels) <= set(wikimel.entities)
