"""mmkg-sdk extract and tag: answers of the library on stdout, errors on stderr."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import mmkg_sdk
from mmkg_sdk import RelationMention
from tests.cli.running import mmkg

SENTENCE = "The actor wrote a song, the film from germany."


@pytest.fixture
def bundle(toys: Callable[[str], Path]) -> Callable[[str], Path]:
    return lambda task: toys(task) / "bundle"


def test_extract_prints_the_relations_of_the_library(bundle: Callable[[str], Path]) -> None:
    asked = ("extract", bundle("mre"), "--sentence", SENTENCE, "--head", "actor", "--tail", "germany")
    answer = json.loads(mmkg(*asked, "-k", "2", "--json").stdout)
    with mmkg_sdk.load(bundle("mre"), device="cpu") as extractor:
        (expected,) = extractor.extract_relations(RelationMention(SENTENCE, "actor", "germany"))
        ids = [extractor.relations.find(label) for label, _ in expected.ranked(2)]
    assert (answer["sentence"], answer["head"], answer["tail"]) == (SENTENCE, "actor", "germany")
    assert [row["id"] for row in answer["answers"]] == ids
    assert [row["label"] for row in answer["answers"]] == [label for label, _ in expected.ranked(2)]
    assert [row["score"] for row in answer["answers"]] == pytest.approx([score for _, score in expected.ranked(2)])
    assert "Invalid value for '-k'" in mmkg(*asked, "-k", "0", code=2).stderr
    lines = mmkg(*asked, "-k", "2").stdout.splitlines()
    assert lines[0] == "(actor, ?, germany)"
    assert lines[1].startswith(f"  1. {expected.label}  0.")
    assert len(lines) == 3
    done = mmkg("extract", bundle("mre"), "--sentence", SENTENCE, "--head", "the", "--tail", "germany", code=0)
    assert done.stdout.startswith("(the, ?, germany)")
    assert "stands 0 times" in mmkg(*asked[:-1], "norway", code=1).stderr


def test_tag_prints_the_entities_of_the_library(bundle: Callable[[str], Path], tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (40, 40), "red").save(tmp_path / "red.png")
    for options, image in (((), None), (("--image", tmp_path / "red.png"), tmp_path / "red.png")):
        asked = ("tag", bundle("mner"), "--sentence", SENTENCE, *options)
        with mmkg_sdk.load(bundle("mner"), device="cpu") as tagger:
            (expected,) = tagger.tag(SENTENCE, [image])
        assert json.loads(mmkg(*asked, "--json").stdout) == expected.to_json()
        assert mmkg(*asked).stdout == f"{expected!r}\n"
    done = mmkg("tag", bundle("mner"), "--sentence", SENTENCE, "--aux", tmp_path / "none.png", code=1)
    assert "none.png cannot be read" in done.stderr


def test_a_bundle_of_another_task_is_named(bundle: Callable[[str], Path]) -> None:
    done = mmkg("tag", bundle("mre"), "--sentence", SENTENCE, code=1)
    assert "is for relation-extraction; Tagger needs a bundle for entity-recognition" in done.stderr
