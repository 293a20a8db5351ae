"""What a picture looks like, against the same in plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mmkg_sdk.modalities.image_views import WIDTHS, image_views

images = pytest.importorskip("PIL.Image", reason="images need pillow")


def drawing(seed, side=32):
    """A few rectangles on white that touch no edge."""
    chance = np.random.default_rng(seed)
    pixels = np.full((side, side, 3), 255, np.uint8)
    for _ in range(6):
        top, left = chance.integers(side // 8, side // 2, 2)
        height, width = chance.integers(side // 8, side // 3, 2)
        pixels[top : top + height, left : left + width] = chance.integers(0, 256, 3)
    return pixels


def shares(counts, faint):
    total = sum(map(sum, counts)) + faint
    return [round(1024 * math.sqrt(count / total)) for cell in counts for count in cell]


def plain_views(pixels):
    """image_views of 32 x 32 pixels without a border, as its docstring says it."""
    grey = [[(77 * int(r) + 150 * int(g) + 29 * int(b)) // 256 for r, g, b in row] for row in pixels]
    small = [[[0] * 8 for _ in range(8)] for _ in range(8)]
    for y in range(32):
        for x in range(32):
            across = grey[y][x + 1] - grey[y][x - 1] if 0 < x < 31 else 0
            down = grey[y + 1][x] - grey[y - 1][x] if 0 < y < 31 else 0
            small[y // 4][x // 4][round(math.atan2(down, across) / (math.pi / 8)) % 8] += round(
                math.hypot(across, down)
            )
    large = [
        [[sum(small[2 * y + i][2 * x + j][k] for i in (0, 1) for j in (0, 1)) for k in range(8)] for x in range(4)]
        for y in range(4)
    ]
    colour = [
        [
            [int(pixels[8 * y : 8 * y + 8, 8 * x : 8 * x + 8, band].sum(dtype=int)) * 3 // 256 for band in range(3)]
            for x in range(4)
        ]
        for y in range(4)
    ]
    outline = shares([large[y][x] for y in range(4) for x in range(4)], 500)
    places = [(y, x) for y in (0, 1) for x in (0, 1)]
    colours = [[value for i in (0, 1) for j in (0, 1) for value in colour[2 * y + i][2 * x + j]] for y, x in places]
    quarters = [
        shares([small[4 * y + i][4 * x + j] for i in range(4) for j in range(4)], 500) + own
        for (y, x), own in zip(places, colours, strict=True)
    ]
    all_colours = [value for row in colour for cell in row for value in cell]
    return [outline + all_colours, *quarters, *(outline[32 * y : 32 * y + 32] for y in range(4)), *colours]


@pytest.mark.parametrize("seed", range(4))
def test_the_views_are_those_of_plain_loops(seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    found = image_views(images.fromarray(pixels))
    assert [len(view) for view in found] == [*WIDTHS]
    assert [view.tolist() for view in found] == plain_views(pixels)


def test_a_border_of_one_colour_does_not_count():
    pixels = drawing(3)
    wide = np.full((90, 70, 3), 255, np.uint8)
    wide[40:72, 11:43] = pixels
    for one, other in zip(*(image_views(images.fromarray(p)) for p in (pixels, wide)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_bands_that_reach_the_edges_are_no_border():
    flag = np.zeros((30, 40, 3), np.uint8)
    flag[:10], flag[10:20], flag[20:] = (255, 0, 0), (255, 255, 255), (255, 0, 0)
    top, *_ = image_views(images.fromarray(flag))[9:]
    # The upper left quarter: two cells of pure red above two of red and white.
    assert top.reshape(2, 2, 3)[0].tolist() == [[191, 0, 0]] * 2
    assert (top.reshape(2, 2, 3)[1] > [190, 50, 50]).all()


def test_a_faint_drawing_has_the_outline_of_a_bold_one():
    bold = drawing(5, side=320).astype(int)
    faint = (255 - (255 - bold) // 2).astype(np.uint8)
    found = [image_views(images.fromarray(pixels.astype(np.uint8))) for pixels in (bold, faint)]
    for one, other in zip(*(views[5:9] for views in found), strict=True):
        assert np.abs(one - other).max() < 0.1 * 1024


@pytest.mark.parametrize("size", [(1, 1), (1, 700), (3, 2)])
def test_pictures_of_few_pixels_have_views(size):
    assert [len(view) for view in image_views(images.new("RGB", size, "teal"))] == [*WIDTHS]
