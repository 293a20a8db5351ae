"""Images of a training: the pixels that the vision tower always got, whether they travel or lie on the device."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mmkg_sdk.modalities.images import normalised
from mmkg_sdk.modalities.training_images import StoredImages, TrainingImages

CPU = torch.device("cpu")
DRAW = np.random.default_rng(0)
COLOURS = DRAW.integers(0, 256, (5, 2, 3, 4, 4)).astype(np.uint8)
PRESENT = DRAW.random((5, 2)) < 0.6
ROWS = torch.tensor([3, -1, 0, 3])


def shown(images: TrainingImages, rows: torch.Tensor) -> dict[str, torch.Tensor]:
    return images(rows, images.gathered(rows))  # type: ignore[no-any-return]


@pytest.mark.parametrize("placed", [False, True])
def test_rows_show_what_is_there_and_zeros_elsewhere(placed: bool) -> None:
    images = TrainingImages({"aux": StoredImages(COLOURS, PRESENT), "main": StoredImages(COLOURS[:, 0])})
    if placed:
        images.place(CPU, most_bytes=images.num_bytes)
    assert images.is_placed is placed
    found = shown(images, ROWS)
    assert list(found) == ["aux", "main"]
    for place, row in enumerate(ROWS.tolist()):
        aux, main = (normalised(COLOURS[row]), normalised(COLOURS[row, 0])) if row >= 0 else (np.zeros(1), np.zeros(1))
        there = PRESENT[row][:, None, None, None] if row >= 0 else False
        np.testing.assert_array_equal(found["aux"][place], np.broadcast_to(np.where(there, aux, 0), (2, 3, 4, 4)))
        np.testing.assert_array_equal(found["main"][place], np.broadcast_to(main, (3, 4, 4)))
    assert not PRESENT[[0, 3]].all()


def test_every_colour_becomes_the_number_of_the_numpy_path_to_the_bit() -> None:
    colours = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16).repeat(3, axis=1)
    found = shown(TrainingImages({"main": StoredImages(colours)}), torch.tensor([0]))["main"]
    np.testing.assert_array_equal(found, normalised(colours))


def test_floats_stay_as_they_are() -> None:
    given = DRAW.standard_normal((3, 3, 2, 2)).astype(np.float16)
    found = shown(TrainingImages({"main": StoredImages(given)}), torch.tensor([2, -1]))["main"]
    np.testing.assert_array_equal(found, np.stack([given[2].astype(np.float32), np.zeros((3, 2, 2), np.float32)]))


@pytest.mark.parametrize("placed", [False, True])
def test_without_a_single_image_all_is_zero(placed: bool) -> None:
    images = TrainingImages({"main": StoredImages(COLOURS[:0, 0])})
    images.place(CPU, most_bytes=1 << 40 if placed else 0)
    assert not shown(images, torch.tensor([-1, -1]))["main"].any()


def test_images_are_placed_whole_or_not_at_all_and_never_kept_in_a_state() -> None:
    images = TrainingImages({"aux": StoredImages(COLOURS, PRESENT), "main": StoredImages(COLOURS[:, 0])})
    assert images.num_bytes == COLOURS.size * 3 // 2
    images.place(CPU, most_bytes=images.num_bytes - 1)
    assert not images.is_placed
    images.place(CPU)
    assert not images.is_placed, "a CPU has them in its memory, or on its disk, anyway"
    images.place(CPU, most_bytes=images.num_bytes)
    assert images.gathered(ROWS) == ()
    assert not images.state_dict()


def test_placing_goes_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmkg_sdk.modalities.training_images._CHUNK_BYTES", 200)
    images = TrainingImages({"main": StoredImages(COLOURS, PRESENT)})
    images.place(CPU, most_bytes=1 << 40)
    np.testing.assert_array_equal(images.get_buffer("main_pixels"), COLOURS)


def test_gathering_reads_no_more_than_the_rows_that_are_shown() -> None:
    class Counted(np.ndarray):
        asked: list[list[int]] = []  # noqa: RUF012

        def __getitem__(self, rows):  # type: ignore[no-untyped-def]
            self.asked.append(rows.tolist())
            return np.asarray(self)[rows]

    images = TrainingImages({"main": StoredImages(COLOURS.view(Counted))})
    images.gathered(torch.tensor([-1, 4, -1, 2]))
    assert Counted.asked == [[4, 2]]
