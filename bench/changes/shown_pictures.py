"""ShownPictures: images that a model is shown with each query, made of raw pictures by the bundle's image graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmkg_sdk.answering.link_prediction import Model
from mmkg_sdk.bundle import Bundle
from mmkg_sdk.errors import DataError
from mmkg_sdk.families import contract
from mmkg_sdk.files.tensors import scratch_array

from .picture_changes import Change, changed_rgb
from .picture_plan import Files, drawn, files_of

# Images of so many entities go through the graph at a time.
_AT_ONCE = 16
# Of states in half precision: what another machine or batch makes of the same pixels.
_TOLERANCE = 1e-2


@dataclass(frozen=True)
class ShownStates:
    """What the image graph made of the images of each entity.

    Attributes:
        rows: int64 [entities], into `states`.
        states: float [sets of images, visual tokens, width].
    """

    rows: NDArray[np.int64]
    states: NDArray[Any]

    def bundle(self, own: Bundle) -> Bundle:
        """A bundle with these in place of its own."""
        inputs = {**own.inputs, "image_rows": self.rows}
        return replace(own, tensors={**own.tensors, "inputs": inputs, "images": {"states": self.states}})


@dataclass(frozen=True)
class ShownPictures:
    """The pictures that the training saw of those entities that are asked about, as files.

    Attributes:
        files: by row of the entity, in the order in which the training saw them.
    """

    model: Model
    files: Files

    @classmethod
    def of(cls, model: Model, images: Mapping[str, Sequence[Path]], asked: NDArray[np.int64]) -> ShownPictures:
        """Of pictures by label.

        Args:
            asked: the entities whose images are shown with a query.

        Raises:
            DataError: of no such entity, or other pictures than the bundle's states were made of.
        """
        rows = set(asked.tolist())
        files = {row: found for row, found in files_of(model.bundle.entities, images).items() if row in rows}
        if not files:
            raise DataError("no picture is of an entity of these triples. Name files <label>.png or <label>/*.png.")
        found = cls(model, files)
        if unlike := found._unlike_trained():
            raise DataError(
                f"{unlike:,} of {len(files):,} entities have other images than these, by what the bundle holds of "
                "them. Name the pictures that it was trained with, all of them, as --images DIR."
            )
        return found

    def given(
        self, change: Change | None = None, *, most: int | None = None, others: Files | None = None, seed: int = 0
    ) -> ShownStates:
        """See Pictures."""
        files, bundle = drawn(self.files if others is None else others, most, seed), self.model.bundle
        own, entities = bundle.tensors["images"]["states"], list(files)
        rows, left = bundle.inputs["image_rows"].copy(), np.setdiff1d(np.arange(len(bundle.entities)), entities)
        kept, rows[left] = np.unique(rows[left], return_inverse=True)
        rows[entities] = len(kept) + np.arange(len(entities))
        states = scratch_array((len(kept) + len(entities), *own.shape[1:]), own.dtype.str[1:])
        states[: len(kept)] = own[kept]
        random = np.random.default_rng([seed, 1])
        for start in range(0, len(entities), _AT_ONCE):
            some = entities[start : start + _AT_ONCE]
            states[rows[some]] = self._encoded([files[row] for row in some], change, random)
        return ShownStates(rows, states)

    def _encoded(
        self, files: Sequence[Sequence[Path]], change: Change | None, random: np.random.Generator
    ) -> NDArray[np.float32]:
        """The states of the images of some entities, float32 [entities, visual tokens, width]."""
        runtime, bundle = contract.link_runtime(self.model.bundle.family), self.model.bundle
        pictures = [own if change is None else [changed_rgb(path, change, random) for path in own] for own in files]
        inputs = [runtime.image_inputs(bundle, own) for own in pictures]
        given = {name: np.concatenate([one[name] for one in inputs]) for name in inputs[0]}
        return self.model.run_graph("image_encoder", given, ["image_state"])["image_state"]

    def _unlike_trained(self) -> int:
        """How many entities have other states of these pictures than the bundle has."""
        own, again = self.model.bundle, self.given()
        count = 0
        for row in self.files:
            trained = own.tensors["images"]["states"][own.inputs["image_rows"][row]]
            seen = again.states[again.rows[row]]
            count += not np.allclose(np.float32(trained), np.float32(seen), rtol=_TOLERANCE, atol=_TOLERANCE)
        return count
