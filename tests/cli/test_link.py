"""mmkg-sdk link: the answers of the library, among all entities or those that were named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import mmkg_sdk
from mmkg_sdk import Mention, QueryError

from .running import ask

ASKED = ("--mention", "Georgia", "--sentence", "Georgia has old wine.")


def test_link_prints_the_answers_of_the_library(small_bundle: Path) -> None:
    answer = json.loads(ask("link", small_bundle, *ASKED, "-k", "3", "--explain", "--json").stdout)
    with mmkg_sdk.Linker.load(small_bundle) as linker:
        (expected,) = linker.link_mentions(Mention("Georgia", "Georgia has old wine."), 3, explain=True)
    assert answer == json.loads(json.dumps(expected.to_json()))
    ranks = [line.split()[0] for line in ask("link", small_bundle, *ASKED, "-k", "2").stdout.splitlines()]
    assert ranks[1:3] == ["1.", "2."]


def test_candidates_are_labels_or_ids(small_bundle: Path) -> None:
    named = ask("link", small_bundle, *ASKED, "--candidates", "Georgia (font),6", "--json")
    assert {row["id"] for row in json.loads(named.stdout)["answers"]} == {2, 6}
    assert "taken for an id" in named.stderr
    with pytest.raises(QueryError, match="unknown entity 'Jorden'"):
        ask("link", small_bundle, *ASKED, "--candidates", "Jorden")
