"""A bundle of every format that was released opens and answers as it did, for ever."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import mmkg_sdk
from mmkg_sdk.answering.verification import verify_bundle
from mmkg_sdk.bundle import FORMAT_VERSION, Bundle

from .make import CASES, FOLDER, answers

RELEASED = sorted(path.parent for path in FOLDER.glob("*/*/bundle"))
every_release = pytest.mark.parametrize("folder", RELEASED, ids=lambda path: f"{path.parent.name}-{path.name}")


@every_release
def test_it_answers_as_it_did(folder: Path) -> None:
    expected = json.loads((folder / "answers.json").read_text("utf-8"))
    with mmkg_sdk.load(folder / "bundle", device="cpu") as opened:
        found = answers(opened)
    assert found.keys() == expected.keys()
    if expected:
        assert found["ids"] == expected["ids"]
        np.testing.assert_allclose(found["scores"], expected["scores"], rtol=1e-3, atol=1e-4)


@every_release
def test_its_graphs_compute_what_they_did(folder: Path) -> None:
    assert verify_bundle(folder / "bundle", device="cpu")["passed"]


def test_every_family_and_task_has_one_of_the_present_format() -> None:
    present = [
        folder for folder in RELEASED if Bundle.open(folder / "bundle").manifest["format_version"] == FORMAT_VERSION
    ]
    assert {folder.name for folder in present} == {f"{family}-{case}" for family, case, _ in CASES}
