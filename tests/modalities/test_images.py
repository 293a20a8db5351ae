"""Pixels for CLIP: against the image processor of transformers, and from files that want to do harm."""

from __future__ import annotations

import io
import random
import struct
import sys
import time
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest

from mmkg_sdk.errors import BackendError
from mmkg_sdk.modalities import images
from mmkg_sdk.modalities.images import clip_pixels

Image = pytest.importorskip("PIL.Image", reason="images need Pillow")

MODES = ("1", "L", "LA", "P", "PA", "I", "I;16", "F", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "HSV")
THREE_CHANNELS = ("RGB", "YCbCr", "LAB", "HSV")
SIZES = [(640, 480), (33, 500), (224, 224), (225, 224), (7, 3), (3, 3), (1, 1), (1, 60), (1000, 20), (20, 1000)]


def noise(width: int, height: int, mode: str = "RGB") -> Image.Image:
    values = np.random.default_rng(width * height).integers(0, 256, (height, width, 3)).astype(np.uint8)
    picture = Image.fromarray(values)
    if mode == "I;16":
        return Image.fromarray(values[..., 0].astype(np.uint16) * 100)
    if mode in ("PA", "LAB", "HSV", "RGBX"):
        made = Image.new(mode, picture.size)
        made.putdata(list(map(tuple, np.resize(values, (width * height, len(made.getbands()))).tolist())))
        return made
    return picture.convert(mode)


def their_pixels(image: Image.Image, size: int, **options) -> np.ndarray:
    """What the processor of transformers that works with Pillow makes of it."""
    transformers = pytest.importorskip("transformers", reason="compares with transformers")
    processor = getattr(transformers, "CLIPImageProcessorPil", None) or transformers.CLIPImageProcessor
    made = processor(size={"shortest_edge": size}, crop_size={"height": size, "width": size}, **options)
    return np.asarray(made(image, return_tensors="np")["pixel_values"][0])


def mimics_pixels(image: Image.Image, size: int) -> np.ndarray:
    """MIMIC's steps: a square by Lanczos, the processor without a conversion, zeros for any error."""
    try:
        return their_pixels(image.resize((224, 224), Image.Resampling.LANCZOS), size, do_convert_rgb=False)
    except Exception:
        return np.zeros((3, size, size), np.float32)


@pytest.mark.parametrize("size", [224, 128, 64, 32])
@pytest.mark.parametrize(("width", "height"), SIZES)
def test_pixels_are_those_of_transformers(width, height, size):
    image = noise(width, height)
    ours = clip_pixels(image, size)
    assert ours.shape == (3, size, size)
    assert ours.dtype == np.float32
    np.testing.assert_array_equal(ours, their_pixels(image, size))


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_becomes_rgb_first(mode):
    image = noise(50, 40, mode)
    np.testing.assert_array_equal(clip_pixels(image, 32), their_pixels(image.convert("RGB"), 32))


@pytest.mark.filterwarnings("ignore:an image in memory is read as zeros")
@pytest.mark.parametrize("size", [224, 32])
@pytest.mark.parametrize("mode", MODES)
def test_squashed_pixels_are_mimics_in_every_mode(mode, size):
    image = noise(50, 40, mode)
    ours = clip_pixels(image, size, squash=True)
    np.testing.assert_array_equal(ours, mimics_pixels(image, size))
    assert ours.any() == (mode in THREE_CHANNELS)


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_squashed_pixels_are_mimics_in_every_shape(width, height):
    np.testing.assert_array_equal(
        clip_pixels(noise(width, height), 224, squash=True), mimics_pixels(noise(width, height), 224)
    )


def test_white_is_one_minus_mean_over_deviation():
    pixels = clip_pixels(Image.new("RGB", (30, 20), "white"), 8)
    expected = [(1 - 0.48145466) / 0.26862954, (1 - 0.4578275) / 0.26130258, (1 - 0.40821073) / 0.27577711]
    np.testing.assert_allclose(pixels, np.broadcast_to(np.reshape(expected, (3, 1, 1)), (3, 8, 8)), rtol=1e-6)


def test_no_image_is_zeros_without_a_warning_and_without_pillow(monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pixels = clip_pixels(None, 16)
    assert pixels.shape == (3, 16, 16)
    assert not pixels.any()
    with pytest.raises(BackendError, match=r"needs pillow, which is not installed. Run: pip install"):
        clip_pixels(Path("photo.png"), 16)


@pytest.mark.parametrize("shape", [(3000, 33), (33, 3000), (64, 5001), (6400, 100)])
def test_the_middle_of_a_strip_is_that_of_the_whole_strip(shape, monkeypatch):
    image = noise(*(max(1, edge // 30) for edge in shape)).resize(shape, Image.Resampling.BICUBIC)
    middle = clip_pixels(image, 64)
    monkeypatch.setattr(images, "_LONGEST_RATIO", 10**9)
    levels = np.abs(middle - clip_pixels(image, 64)) * 255 * np.reshape(images.CLIP_DEVIATION, (3, 1, 1))
    assert levels.max() < 1.1  # one step of 255, from rounding


@pytest.mark.parametrize("shape", [(10_000, 1), (1, 10_000), (60_000, 2)])
def test_a_strip_takes_neither_time_nor_memory(shape):
    start = time.monotonic()
    assert clip_pixels(Image.new("RGB", shape, "red"), 224).any()
    assert clip_pixels(Image.new("RGB", shape, "red"), 224, squash=True).any()
    assert time.monotonic() - start < 2


def saved(image: Image.Image, suffix: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, suffix, **options)
    return file.getvalue()


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png_of_size(width: int, height: int) -> bytes:
    """A valid head of a PNG that claims any size."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(10))) + chunk(b"IEND", b"")


UNREADABLE = {
    "empty.png": b"",
    "text.jpg": b"not an image",
    "drawing.svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "bomb.png": png_of_size(50_000, 50_000),
    "larger-bomb.png": png_of_size(2**31 - 1, 2**31 - 1),
    "nothing.png": png_of_size(0, 0),
    "cut.jpg": saved(noise(60, 50), "JPEG")[:-400],
    "cut.png": saved(noise(60, 50), "PNG")[:-400],
    "cut.gif": saved(noise(60, 50), "GIF")[:-400],
    "cut.webp": saved(noise(60, 50), "WEBP")[:-400],
    "head.tiff": saved(noise(60, 50), "TIFF")[:8],
}


@pytest.mark.parametrize("squash", [False, True])
@pytest.mark.parametrize("name", UNREADABLE)
def test_an_unreadable_file_is_zeros_and_named_in_a_warning(name, squash, tmp_path):
    path = tmp_path / name
    path.write_bytes(UNREADABLE[name])
    with pytest.warns(UserWarning, match=rf"{name} is read as zeros: .+"):
        pixels = clip_pixels(path, 32, squash=squash)
    assert pixels.shape == (3, 32, 32)
    assert not pixels.any()


def test_a_missing_file_and_a_folder_are_zeros_and_named(tmp_path):
    for path in (tmp_path / "absent.png", tmp_path, Path("a\x00b.png")):
        with pytest.warns(UserWarning, match="is read as zeros"):
            assert not clip_pixels(path, 32).any()


def test_a_picture_without_three_channels_is_nothing_to_mimic_and_the_warning_says_so(tmp_path):
    path = tmp_path / "grey.png"
    noise(20, 20, "L").save(path)
    with pytest.warns(UserWarning, match=r"grey.png is read as zeros: mode L, .* three channels only; convert it"):
        assert not clip_pixels(path, 32, squash=True).any()


READABLE = {
    "photo.jpg": saved(noise(60, 50), "JPEG"),
    "cmyk.jpg": saved(noise(60, 50, "CMYK"), "JPEG"),
    "palette.png": saved(noise(60, 50, "P"), "PNG", transparency=0),
    "sixteen.png": saved(noise(60, 50, "I;16"), "PNG"),
    "transparent.webp": saved(noise(60, 50, "RGBA"), "WEBP", lossless=True),
    "moving.gif": saved(noise(60, 50), "GIF", save_all=True, append_images=[Image.new("RGB", (60, 50))] * 3),
    "wrong-suffix.jpg": saved(noise(60, 50), "PNG"),
}


@pytest.mark.parametrize("name", READABLE)
def test_a_file_is_its_first_frame_in_rgb(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(READABLE[name])
    with Image.open(path) as opened:
        expected = their_pixels(Image.fromarray(np.asarray(opened.convert("RGB"))), 32)
    pixels = clip_pixels(path, 32)
    np.testing.assert_array_equal(pixels, expected)
    assert pixels.any()


def test_the_file_is_closed_and_the_image_given_is_left_as_it_was(tmp_path):
    path = tmp_path / "photo.png"
    noise(60, 50, "P").save(path)
    clip_pixels(path, 32)
    path.unlink()
    image = noise(60, 50, "RGBA")
    before = image.tobytes()
    clip_pixels(image, 32)
    assert (image.mode, image.size, image.tobytes()) == ("RGBA", (60, 50), before)


@pytest.mark.filterwarnings("ignore")
def test_changed_bytes_never_crash(tmp_path):
    numbers, path = random.Random(0), tmp_path / "changed"
    for content in READABLE.values():
        for _ in range(40):
            changed = bytearray(content)
            for _ in range(numbers.choice((1, 5, 50))):
                changed[numbers.randrange(min(len(changed), 400))] = numbers.randrange(256)
            path.write_bytes(changed[: numbers.choice((len(changed), numbers.randrange(len(changed))))])
            for squash in (False, True):
                pixels = clip_pixels(path, 16, squash=squash)
                assert pixels.shape == (3, 16, 16)
                assert np.isfinite(pixels).all()
