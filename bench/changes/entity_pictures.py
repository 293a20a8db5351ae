"""Entities from raw pictures, by what the bundle carries of its image tokenizer: fewer, worse and other ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mmkg_sdk.errors import DataError, QueryError
from mmkg_sdk.families import contract
from mmkg_sdk.families.entity_batch import EntityBatch, of_one_width
from mmkg_sdk.modalities.pictures import rgb_picture

from .entity_inputs import EntityInputs
from .picture_changes import Change
from .picture_plan import IMAGES, Files, drawn, files_of

if TYPE_CHECKING:
    from PIL.Image import Image

# Entities whose pictures are in memory at a time.
_AT_ONCE = 128


@dataclass(frozen=True)
class EntityPictures:
    """The pictures that the training saw of the entities, as files.

    Attributes:
        files: by row of the entity, in the order in which its tokens were made.
    """

    inputs: EntityInputs
    files: Files

    @classmethod
    def of(cls, inputs: EntityInputs, images: Mapping[str, Sequence[Path]]) -> EntityPictures:
        """Of pictures by label.

        Raises:
            DataError: of no entity of the bundle.
        """
        return cls(inputs, files_of(inputs.bundle.entities, images))

    def unlike_trained(self) -> int:
        """How many entities have other tokens or features of these pictures than the bundle has."""
        again, own, rows = self.seen(), self.inputs, np.array(list(self.files))
        hidden, masked = (one.missing[IMAGES][rows] for one in (again, own))
        values, trained = (one.values[IMAGES][rows] for one in (again, own))
        if own.kind == "features":  # one mask for all numbers of a vector
            hidden, masked = hidden[:, None], masked[:, None]
        same = (hidden == masked) & (hidden | (values == trained))
        return int((~same.all(axis=1)).sum())

    def given(
        self, change: Change | None = None, *, most: int | None = None, others: Files | None = None, seed: int = 0
    ) -> EntityBatch:
        """See Pictures."""
        return self.seen(change, most=most, others=others, seed=seed).batch()

    def seen(
        self, change: Change | None = None, *, most: int | None = None, others: Files | None = None, seed: int = 0
    ) -> EntityInputs:
        """The inputs with images made of pictures; arguments as of `given`."""
        files = drawn(self.files if others is None else others, most, seed)
        random = np.random.default_rng([seed, 1])
        rows = np.array(list(files), np.int64)
        values, missing = [], []
        for start in range(0, len(rows), _AT_ONCE):
            pictures = [
                [_picture(path, change, random) for path in files[row]] for row in rows[start:][:_AT_ONCE].tolist()
            ]
            found = _batch(self.inputs, pictures)
            values.append(found[f"{IMAGES}_{self.inputs.kind}"])
            missing.append(found[f"{IMAGES}_mask"])
        return self._placed(rows, np.concatenate(of_one_width(values)), np.concatenate(of_one_width(missing)))

    def _placed(self, rows: NDArray[np.int64], values: NDArray[Any], missing: NDArray[np.bool_]) -> EntityInputs:
        own, hidden = self.inputs.values[IMAGES], self.inputs.missing[IMAGES]
        values, own = of_one_width([values, own])
        missing, hidden = of_one_width([missing, hidden])
        own, hidden = own.copy(), hidden.copy()
        own[rows], hidden[rows] = values, missing
        return self.inputs.with_modality(IMAGES, own, hidden)


def takes_pictures(inputs: EntityInputs) -> str | None:
    """Why a bundle takes no raw pictures, and what to do; None if it does."""
    if IMAGES not in inputs.values:
        return "The model has no images."
    try:
        _batch(inputs, [[np.zeros((8, 8, 3), np.uint8)]])
    except QueryError as err:
        return str(err)
    return None


def _batch(inputs: EntityInputs, pictures: Sequence[Sequence[Any]]) -> dict[str, NDArray[Any]]:
    return contract.link_runtime(inputs.bundle.family).entity_batch(inputs.bundle, images=pictures).arrays


def _picture(path: Path, change: Change | None, random: np.random.Generator) -> Image:
    try:
        image = rgb_picture(path)
    except ValueError as err:
        raise DataError(f"{path} cannot be read: {str(err)[:300]}. Leave it out.") from err
    return image if change is None else change(image, random)
