"""mmkg-sdk explain: what the library says of an entity."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import mmkg_sdk
from mmkg_sdk import QueryError

from .running import ask


def test_explain_prints_what_the_library_says(golden_bundle: Path) -> None:
    with mmkg_sdk.Model.load(golden_bundle, device="cpu") as model:
        expected = model.explain_entity("entity 3")
    assert json.loads(ask("explain", golden_bundle, "entity 3", "--json").stdout) == expected.to_json()
    assert ask("explain", golden_bundle, "entity 3").stdout == f"{expected!r}\n"
    by_id = ask("explain", golden_bundle, "3", "--json")
    assert json.loads(by_id.stdout) == expected.to_json()
    assert "taken for an id" in by_id.stderr


def test_an_unknown_entity_is_an_error(golden_bundle: Path) -> None:
    with pytest.raises(QueryError, match="unknown entity 'entity 3x'"):
        ask("explain", golden_bundle, "entity 3x")
