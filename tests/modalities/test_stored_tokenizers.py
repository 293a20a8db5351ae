"""tokenizers.safetensors: what goes in comes out, and what is none is refused."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from mmkg_sdk.errors import DataError
from mmkg_sdk.files.tensors import write_tensors
from mmkg_sdk.modalities.image_tokens import ImageTokenizer
from mmkg_sdk.modalities.image_views import WIDTHS
from mmkg_sdk.modalities.stored_tokenizers import packed_tokenizers, parsed_tokenizers
from mmkg_sdk.modalities.text_tokens import TextTokenizer

PATH = Path("tokenizers.safetensors")
TEXT = TextTokenizer(("[UNK]", "é", "##ab"), np.array([0, 2, 1]), 3)
CENTRES = tuple(np.full((2, width), 5, np.int16) for width in WIDTHS)


def packed(**changed):
    """The arrays of two tokenizers with some changed, None left out."""
    arrays = {
        "text.pieces": np.frombuffer("[UNK]\né\n##ab".encode(), np.uint8),
        "text.num_texts_of": np.array([0, 2, 1]),
        "text.num_texts": np.array([3]),
        **{f"visual.view_{place}": centres for place, centres in enumerate(CENTRES)},
    }
    changes = {name.replace("__", "."): array for name, array in changed.items()}
    file = io.BytesIO()
    write_tensors(file, {name: array for name, array in (arrays | changes).items() if array is not None})
    return memoryview(file.getvalue())


def test_what_goes_in_comes_out():
    content = packed_tokenizers({"text": TEXT, "visual": ImageTokenizer(CENTRES)})
    assert content == packed()
    found = parsed_tokenizers(memoryview(content), PATH)
    assert found["text"].pieces == TEXT.pieces
    assert found["text"].num_texts_of.tolist() == [0, 2, 1]
    assert (found["text"].num_texts, found["text"].size, found["visual"].size) == (3, 3, 26)
    for one, other in zip(found["visual"].centres, CENTRES, strict=True):
        np.testing.assert_array_equal(one, other)


def pieces(text):
    return np.frombuffer(text, np.uint8)


@pytest.mark.parametrize(
    "changed",
    [
        {"text__pieces": pieces(b"[UNK]\na\na")},
        {"text__pieces": pieces(b"[UNK]\n\na")},
        {"text__pieces": pieces(b"b\nc\na")},
        {"text__pieces": pieces(b"[UNK]\n\xff\na")},
        {"text__pieces": pieces(b"[UNK]\na")},
        {"text__num_texts_of": np.array([0, 4, 1])},
        {"text__num_texts_of": np.array([0, -1, 1])},
        {"text__num_texts_of": np.array([0.0, 1.0, 1.0])},
        {"text__num_texts": np.array([3, 3])},
        {"text__num_texts": None},
        {"text__more": np.array([1])},
        {"visual__view_12": None},
        {"visual__view_13": CENTRES[0]},
        {"visual__view_0": CENTRES[0][:0]},
        {"visual__view_0": CENTRES[0][:, 1:]},
        {"visual__view_0": CENTRES[0].astype(np.int64)},
        {"visual__view_0": np.full_like(CENTRES[0], -1)},
        {"visual__view_0": np.full_like(CENTRES[0], 1025)},
        {"lonely": np.array([1])},
    ],
    ids=str,
)
def test_what_is_none_is_refused(changed):
    with pytest.raises(DataError, match=r"tokenizers\.safetensors holds no tokenizers"):
        parsed_tokenizers(packed(**changed), PATH)


def test_a_file_that_was_cut_is_refused():
    content = packed()
    for size in (0, 7, 100, len(content) - 1):
        with pytest.raises(DataError, match="holds no tokenizers"):
            parsed_tokenizers(content[:size], PATH)
