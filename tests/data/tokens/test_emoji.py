"""Learned image tokens on real pictures: the same thing, drawn by two designers."""

from __future__ import annotations

import tarfile
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from mmkg_sdk.data import read_dataset
from mmkg_sdk.data.tokens.learned_text import learn_text_tokens
from mmkg_sdk.data.tokens.learned_views import learn_view_tokens
from mmkg_sdk.modalities.pictures import rgb_picture
from mmkg_sdk.modalities.stored_tokenizers import packed_tokenizers, parsed_tokenizers
from tests.places import REAL_DATA

images = pytest.importorskip("PIL.Image", reason="images need pillow")
cluster = pytest.importorskip("sklearn.cluster", reason="learned image tokens need scikit-learn")
EMOJI = REAL_DATA / "emoji"
DESIGNERS = ("openmoji", "twemoji")
COUNT = 400


def drawings(designer: str) -> dict[str, bytes]:
    """The files of a designer by code points."""
    if not EMOJI.is_dir():
        pytest.skip("the real data set emoji is not on this machine")
    with tarfile.open(EMOJI / f"{designer}.tar") as archive:
        return {one.name.split("/")[1]: archive.extractfile(one).read() for one in archive if one.isfile()}


@pytest.fixture(scope="module")
def drawn() -> dict[str, list]:
    """The same things by each designer, in RGB on white."""
    pictures = {name: drawings(name) for name in DESIGNERS}
    both = sorted(set.intersection(*map(set, pictures.values())))
    chosen = [both[place] for place in np.linspace(0, len(both) - 1, COUNT).astype(int)]
    return {name: [rgb_picture(pictures[name][one]) for one in chosen] for name in DESIGNERS}


def patch_tokens(pictures: Sequence) -> list[list[int]]:
    """What tells them apart by pieces of 8 x 8 pixels: k-means over the raw colours of patches, 48 a picture."""
    small = np.stack([np.asarray(picture.resize((64, 48), images.Resampling.BOX)) for picture in pictures])
    patches = small.reshape(-1, 6, 8, 8, 8, 3).swapaxes(2, 3).reshape(len(small), 48, 192).astype(np.float32)
    distinct = np.unique(patches.reshape(-1, 192), axis=0)
    sample = distinct[np.random.default_rng(0).permutation(len(distinct))[:4000]]
    clusters = cluster.KMeans(256, n_init=1, random_state=0, max_iter=30).fit(sample)
    return clusters.predict(patches.reshape(-1, 192)).reshape(len(small), 48).tolist()


def found_again(tokens: Sequence[Sequence[int]]) -> NDArray[np.int64]:
    """The rank of each thing's second drawing for its first, by shared tokens, weighed by how rare they are."""
    bags = np.zeros((len(tokens), 1 + max(map(max, tokens))))
    for row, own in enumerate(tokens):
        bags[row, own] = 1
    bags *= np.log((len(bags) + 1) / (bags.sum(axis=0) + 1))
    bags /= np.maximum(np.linalg.norm(bags, axis=1, keepdims=True), 1e-9)
    likeness = bags[:COUNT] @ bags[COUNT:].T
    return 1 + (likeness > likeness.diagonal()[:, None]).sum(axis=1)


def test_another_designers_drawing_is_nearer_than_other_things_and_more_so_than_by_patches(drawn):
    pictures = [picture for name in DESIGNERS for picture in drawn[name]]
    lists, _, _ = learn_view_tokens((str(row), picture) for row, picture in enumerate(pictures))
    ours = found_again([lists[str(row)] for row in range(len(pictures))])
    theirs = found_again(patch_tokens(pictures))
    by_chance = np.mean(1 / np.arange(1, COUNT + 1))
    assert 4 * np.median(ours) < np.median(theirs) < COUNT / 2
    assert np.mean(1 / ours) > 3 * np.mean(1 / theirs) > 3 * by_chance


def test_every_picture_has_the_tokens_that_it_was_learned_with():
    files = drawings("openmoji")
    lists, codebook, tokenizer = learn_view_tokens((name, rgb_picture(content)) for name, content in files.items())
    stored = parsed_tokenizers(memoryview(packed_tokenizers({"visual": tokenizer})), EMOJI)["visual"]
    assert lists == {name: stored.tokens(rgb_picture(content)) for name, content in files.items()}
    assert {token for tokens in lists.values() for token in tokens} <= set(range(len(codebook)))
    assert len({tuple(tokens) for tokens in lists.values()}) > 0.9 * len(lists)


def test_every_text_has_the_tokens_that_it_was_learned_with():
    if not EMOJI.is_dir():
        pytest.skip("the real data set emoji is not on this machine")
    raw = learn_text_tokens(read_dataset(EMOJI).descriptions)
    stored = parsed_tokenizers(memoryview(packed_tokenizers({"text": raw.made_by})), EMOJI)["text"]
    for label, text in read_dataset(EMOJI).descriptions.items():
        assert stored.tokens([text]) == [raw.lists.get(label, [])], label
