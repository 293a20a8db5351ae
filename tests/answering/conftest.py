"""Extractor and Tagger of tiny random models on the toy texts; opened once a session."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import mmkg_sdk
from mmkg_sdk.answering.entity_recognition import Tagger
from mmkg_sdk.answering.relation_extraction import Extractor


@pytest.fixture(scope="session")
def extractor(toys: Callable[[str], Path]) -> Iterator[Extractor]:
    with mmkg_sdk.load(toys("mre") / "bundle", device="cpu") as opened:
        yield opened


@pytest.fixture(scope="session")
def tagger(toys: Callable[[str], Path]) -> Iterator[Tagger]:
    with mmkg_sdk.load(toys("mner") / "bundle", device="cpu") as opened:
        yield opened


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    from PIL import Image

    noise = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "picture.png")
    return tmp_path / "picture.png"
