"""Models that the quickstart would make of the embedded sentences, and what it tells a user to try on them."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

from mmkg_sdk.cli.commands.quickstart import NEXT
from mmkg_sdk.export import export_bundle
from mmkg_sdk.modalities.words import split_text
from mmkg_sdk.training.session import start_training


def taught(family: str, preset: str, write: Callable[[Path], None], folder: Path) -> Path:
    """The bundle of a model trained with the preset of the quickstart, on data that `write` writes."""
    write(folder / "data")
    run, _ = start_training(family, str(folder / "data"), folder / "run", settings={}, preset=preset, device="cpu")
    export_bundle(run, folder / "bundle")
    return folder / "bundle"


def shown(source: str, option: str) -> str:
    """What the quickstart passes for an option in the first command that it shows after a data source."""
    words = shlex.split(NEXT[source].splitlines()[0])
    return words[words.index(option) + 1]


def words(sentence: str) -> tuple[str, ...]:
    """The words of a typed sentence as the atlas has them, punctuation apart."""
    return tuple(sentence[start:end] for start, end in split_text(sentence))
