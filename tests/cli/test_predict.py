"""mmkg-sdk predict: the answers of the library, or one clear error."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import mmkg_sdk

from .running import mmkg


def test_predict_prints_the_answers_of_the_library(golden_bundle: Path) -> None:
    answer = json.loads(
        mmkg("predict", golden_bundle, "--head", "entity 3", "--relation", "relation 1", "-k", "4", "--json").stdout
    )
    with mmkg_sdk.load(golden_bundle) as model:
        expected = model.predict_tails("entity 3", "relation 1", k=4)[0]
    assert answer["query"] == "(entity 3, relation 1, ?)"
    assert [row["label"] for row in answer["answers"]] == list(expected.labels)
    heads = mmkg("predict", golden_bundle, "--relation", "relation 1", "--tail", "entity 3", "-k", "2").stdout
    assert heads.startswith("(?, relation 1, entity 3)")
    assert len(heads.splitlines()) == 3


def test_unknown_label_fails_with_near_labels_on_stderr(golden_bundle: Path) -> None:
    done = mmkg("predict", golden_bundle, "--head", "entty 3", "--relation", "relation 1", code=1)
    assert done.stdout == ""
    assert "unknown entity 'entty 3'" in done.stderr
    assert "'entity 3'" in done.stderr


@pytest.mark.parametrize("sides", [[], ["--head", "entity 0", "--tail", "entity 1"]])
def test_predict_wants_exactly_one_known_side(golden_bundle: Path, sides: list[str]) -> None:
    assert "either --head or --tail" in mmkg("predict", golden_bundle, "--relation", "0", *sides, code=2).stderr
