"""Image tokens learned from what pictures look like as a whole and in parts."""

from __future__ import annotations

import numpy as np
import pytest

from mmkg_sdk.data.tokens.images import tokenize_images
from mmkg_sdk.modalities.image_views import image_views
from mmkg_sdk.modalities.pictures import rgb_picture

images = pytest.importorskip("PIL.Image", reason="images need pillow")
pytest.importorskip("sklearn", reason="learned image tokens need scikit-learn")
VIEWS = "learned-views"


def picture(path, colour):
    path.parent.mkdir(parents=True, exist_ok=True)
    images.new("RGB", (16, 12), colour).save(path)
    return path


@pytest.fixture
def flags(tmp_path):
    """Twenty pictures of three colours in bands, by entity."""
    files, chance = {}, np.random.default_rng(8)
    for number in range(20):
        bands = chance.integers(0, 256, (3, 1, 3), dtype=np.uint8).repeat(12, axis=0).repeat(48, axis=1)
        path = tmp_path / "flags" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        images.fromarray(bands).save(path)
        files[str(number)] = [path]
    return files


def test_pictures_of_one_colour_differ_in_the_tokens_of_colour_and_not_in_those_of_outline(tmp_path):
    files = {name: [picture(tmp_path / f"{name}.png", name)] for name in ("red", "lime")}
    raw, unreadable = tokenize_images(files, VIEWS)
    assert unreadable == []
    assert all(len(tokens) == 13 for tokens in raw.lists.values())
    red, lime = (np.array(raw.lists[name]) for name in files)
    outlines = np.zeros(13, bool)
    outlines[5:9] = True
    np.testing.assert_array_equal(red == lime, outlines)
    assert (raw.vocabulary_size, raw.pad_id) == (len(raw.codebook), len(raw.codebook) - 1)
    assert raw.codebook.shape == (2 * 9 + 4, 176)
    # Rows are means of whole pictures less the mean of all, and there are two pictures.
    np.testing.assert_allclose(raw.codebook[red[0]], -raw.codebook[lime[0]], atol=1e-6)
    np.testing.assert_array_equal(raw.codebook[red[5:9]], 0)


def test_two_images_of_an_entity_are_one_list(tmp_path):
    paths = [picture(tmp_path / "a" / "1.png", "red"), picture(tmp_path / "a" / "2.png", "blue")]
    raw, _ = tokenize_images({"a": paths}, VIEWS)
    alone = {name: tokenize_images({"1": [paths[0]], "2": [paths[1]]}, VIEWS)[0].lists[name] for name in "12"}
    assert raw.lists["a"] == alone["1"] + alone["2"]


def test_the_same_images_give_the_same_tokens(flags):
    first, second = tokenize_images(flags, VIEWS)[0], tokenize_images(flags, VIEWS)[0]
    assert first.lists == second.lists
    assert first.codebook.tobytes() == second.codebook.tobytes()


def test_a_code_is_shared_by_four_pictures_or_more_on_average(flags):
    raw, _ = tokenize_images(flags, VIEWS)
    assert len(raw.codebook) <= 13 * 20 // 4
    assert {token for tokens in raw.lists.values() for token in tokens} == set(range(len(raw.codebook)))


def test_a_codebook_row_is_the_mean_view_of_the_pictures_that_have_it(flags):
    raw, _ = tokenize_images(flags, VIEWS)
    whole = {name: image_views(rgb_picture(paths[0]))[0].astype(float) for name, paths in flags.items()}
    mean = np.mean(list(whole.values()), axis=0)
    rows = np.stack(
        [
            np.mean([whole[name] for name, tokens in raw.lists.items() if code in tokens], axis=0) - mean
            for code in range(len(raw.codebook))
        ]
    )
    np.testing.assert_allclose(raw.codebook, rows / rows.std(), rtol=1e-5, atol=1e-5)
