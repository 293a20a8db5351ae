"""Images are named by paths, and a text is one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mmkg_sdk import Mention, SentenceImages
from mmkg_sdk.data.mentions import LabelledMention, LinkingData
from mmkg_sdk.files.labels import Labels

PATH = Path("a/b.png")


def test_a_text_is_a_path_wherever_an_image_is_named() -> None:
    assert Mention("Georgia", "", "a/b.png").image == Mention("Georgia", "", PATH).image == PATH
    assert LabelledMention("Georgia", "", "a/b.png", 0).image == PATH  # type: ignore[arg-type]
    data = LinkingData("x", Labels(["Georgia"]), ("Georgia",), ("",), ("a/b.png",), (), (), ())  # type: ignore[arg-type]
    assert data.images == (PATH,)
    assert SentenceImages("a/b.png", ["a/b.png"], (PATH,)) == SentenceImages(PATH, (PATH,), (PATH,))
    assert replace(SentenceImages(PATH), main=None) == SentenceImages()
    assert hash(SentenceImages("a/b.png")) == hash(SentenceImages(PATH))


def test_what_is_no_image_stays_for_who_reads_it_to_say_so() -> None:
    assert SentenceImages(aux="a.png").aux == "a.png"
    assert Mention("Georgia", "", b"a.png").image == b"a.png"  # type: ignore[arg-type]
