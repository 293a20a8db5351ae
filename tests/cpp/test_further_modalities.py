"""Bundles of four modalities in C++: the answers of Python, and the refusals."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmkg_sdk import BundleError
from mmkg_sdk.bundle import Bundle
from tests.attacks.reseal import change_manifest
from tests.cpp.conftest import Ask
from tests.cpp.test_answers import opened, predictions, queries_of
from tests.families.further import exported

pytest.importorskip("sklearn", reason="learned codebooks need scikit-learn")


@pytest.mark.parametrize("family", ["mygo", "adamf_mat"])
def test_answers_have_the_same_bits_as_pythons(family: str, ask: Ask) -> None:
    with opened(exported(family)) as model:
        queries = queries_of(model, 40)
        asked = " ".join(map(str, np.stack([queries.entity, queries.relation, queries.direction], 1).ravel().tolist()))
        (answer,) = ask(["model", exported(family), "1"], [f"ids\t5\t-\t-\t{asked}"])
        assert answer.split(";")[:-1] == predictions(model, queries, 5, None, None)


def test_entities_of_more_than_image_and_text_are_not_encoded(ask: Ask) -> None:
    (answer,) = ask(["model", exported("mygo"), "1"], ["encode\t0\t0\t-"])
    assert "this model has the modality german, too" in answer


Change = Callable[[dict[str, Any]], object]
CHANGES: dict[str, Change] = {
    "name": lambda config: config["further_modalities"][0].update(name="image"),
    "order": lambda config: config["further_modalities"].reverse(),
    "twice": lambda config: config["further_modalities"].insert(0, config["further_modalities"][0]),
    "rows": lambda config: config["further_modalities"][0].update(codebook_rows=0),
    "more rows": lambda config: config["further_modalities"][1].update(codebook_rows=999),
    "dropout": lambda config: config["further_modalities"][0].update(dropout=1.0),
    "unknown": lambda config: config["further_modalities"][0].update(colour=1),
    "missing": lambda config: config["further_modalities"][0].pop("codebook_width"),
    "no list": lambda config: config.update(further_modalities={}),
    "no object": lambda config: config.update(further_modalities=[1]),
    "none": lambda config: config.pop("further_modalities"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_configuration_that_does_not_fit_is_refused_by_both(change: str, tmp_path: Path, ask: Ask) -> None:
    folder = shutil.copytree(exported("mygo"), tmp_path / "bundle")
    change_manifest(folder, lambda manifest: CHANGES[change](manifest["config"]))
    with pytest.raises(BundleError):
        Bundle.open(folder)
    (answer,) = ask(["open"], [str(folder)])
    assert answer.startswith("bundle"), answer
