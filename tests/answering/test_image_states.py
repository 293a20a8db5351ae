"""What was made of images stays where the graphs run. No GPU takes part: backends run on the CPU by the same code."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmkg_sdk import BackendError, RelationMention
from mmkg_sdk.answering.entity_recognition import Tagger
from mmkg_sdk.answering.image_states import ImageStates
from mmkg_sdk.answering.relation_extraction import Extractor
from mmkg_sdk.backends.torch_arrays import TorchArray
from mmkg_sdk.data.sentences import SentenceImages
from tests.backends.on_cpu import ON_CPU
from tests.places import ROOT

RELEASED = ROOT / "tests" / "released" / "0.2.0"
WORDS = ["the", "actor", "wrote", "a", "song"]


@pytest.fixture(params=ON_CPU)
def extractors(request: pytest.FixtureRequest) -> Iterator[tuple[Extractor, Extractor]]:
    """One whose device is no processor, as it thinks, and one whose device is."""
    folder = RELEASED / "mkgformer-relations"
    opened = [Extractor.load(folder, request.param, "cpu", threads=1) for _ in range(2)]
    opened[0]._kind = "cuda"
    yield opened[0], opened[1]
    for one in opened:
        one.close()


@pytest.fixture
def shown(picture: Path, tmp_path: Path) -> list[SentenceImages | None]:
    from PIL import Image

    other = tmp_path / "other.png"
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (30, 30, 3), dtype=np.uint8)).save(other)
    one, two = SentenceImages(aux=(picture,), rcnn=(other,)), SentenceImages(aux=(other,))
    return [one, None, two, one]


def ask(extractor: Extractor, shown: list[SentenceImages | None]) -> Any:
    return extractor.score_relations([RelationMention(WORDS, "actor", "song", images) for images in shown])


def test_answers_are_the_same_wherever_the_states_are(
    extractors: tuple[Extractor, Extractor], shown: list[SentenceImages | None]
) -> None:
    placed, host = extractors
    expected = ask(host, shown)
    assert len(np.unique(expected, axis=0)) == 3
    for _ in range(2):
        np.testing.assert_array_equal(ask(placed, shown), expected)


def test_after_the_first_sentence_states_are_neither_made_nor_read_nor_brought(
    extractors: tuple[Extractor, Extractor], shown: list[SentenceImages | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    placed, _ = extractors
    ask(placed, shown)
    ran, given = [], []
    run = placed.backend.run

    def watched(graph: str, inputs: Any) -> Any:
        ran.append(graph)
        given.append(inputs["image_state"])
        return run(graph, inputs)

    monkeypatch.setattr(placed.backend, "run", watched)
    monkeypatch.setattr(placed.backend, "run_placed", _never(placed.backend.run_placed, "image_encoder"))
    if placed.backend.name == "torch":  # there the host is another device; a CPU of ONNX Runtime's joins on it
        monkeypatch.setattr(TorchArray, "numpy", _scores_only(TorchArray.numpy))
        monkeypatch.setattr(placed.backend, "place", None)
    for images in (shown, shown[::-1], shown[:1]):
        ask(placed, images)
    assert ran == ["relation_encoder"] * 3
    assert not any(isinstance(state, np.ndarray) for state in given)


def _never(run: Any, graph: str) -> Any:
    def refused(asked: str, inputs: Any) -> Any:
        assert asked != graph
        return run(asked, inputs)

    return refused


def _scores_only(read: Any) -> Any:
    def watched(array: TorchArray) -> Any:
        assert len(array.shape) == 2, "a state came to the host"
        return read(array)

    return watched


@pytest.mark.parametrize("backend", ON_CPU)
def test_tags_are_the_same_wherever_the_states_are(backend: str, shown: list[SentenceImages | None]) -> None:
    opened = [Tagger.load(RELEASED / "mkgformer-tags", backend, "cpu", threads=1) for _ in range(2)]
    opened[0]._kind = "cuda"
    found = [one.tag_words([WORDS] * len(shown), shown)[1] for one in opened]
    np.testing.assert_array_equal(*found)
    opened[0].close()
    with pytest.raises(BackendError, match="this model is closed"):
        opened[0].tag_words([WORDS], None)
    opened[1].close()


@pytest.mark.parametrize("backend", ON_CPU)
def test_rows_are_put_together_in_order(backend: str) -> None:
    with Extractor.load(RELEASED / "mkgformer-relations", backend, "cpu", threads=1) as extractor:
        parts = [np.arange(6, dtype=np.float32).reshape(rows, 2) + rows for rows in (3, 3)] + [np.ones((1, 2), "f4")]
        placed = [extractor.backend.place(part) for part in parts]
        joined = extractor.backend.join(placed)
        assert (joined.shape, joined.dtype) == ((7, 2), np.float32)
        np.testing.assert_array_equal(joined.numpy(), np.concatenate(parts))


def test_states_that_were_not_used_go_when_there_are_too_many_bytes() -> None:
    kept = ImageStates(100)
    states = {name: np.full(10, number, np.float32) for number, name in enumerate("abc")}
    for name in "ab":
        kept.keep(name, states[name])
    assert kept.find("a") is states["a"]
    kept.keep("c", states["c"])
    assert [kept.find(name) is not None for name in "abc"] == [True, False, True]
    kept.keep("a", states["a"])  # of another thread: counted once
    assert kept.find("c") is not None
    kept.keep("large", np.zeros(1000, np.float32))
    assert [kept.find(name) is not None for name in ("a", "c", "large")] == [False, False, True]
    kept.clear()
    assert kept.find("large") is None
    kept.keep("b", states["b"])
    kept.keep("c", states["c"])
    assert kept.find("b") is not None
