"""The conditions of an entity's pictures: fewer, worse, and by somebody else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mmkg_sdk.bundle import Bundle
from mmkg_sdk.data.entity_images import find_entity_images
from mmkg_sdk.data.graph import DataSet, KnowledgeGraph
from mmkg_sdk.errors import DataError
from mmkg_sdk.files.labels import Labels

from .conditions import Condition, Part
from .picture_changes import BY_CHANCE, CHANGES, Change

IMAGES = "visual"
NO_OTHERS = "Pictures by somebody else are left out. Name some: --other-images DIR."
_FEW_PICTURES = 5

Files = Mapping[int, Sequence[Path]]


class Pictures(Protocol):
    """The pictures that the training saw of the entities of a bundle."""

    @property
    def files(self) -> Files:
        """By row of the entity, in the order in which the training saw them."""
        ...

    def given(
        self, change: Change | None = None, *, most: int | None = None, others: Files | None = None, seed: int = 0
    ) -> Any:
        """What the bundle is measured with; entities without a file keep theirs.

        Args:
            change: done to every picture.
            most: so many pictures of an entity at most, drawn at random; their order stays.
            others: pictures in place of these.
            seed: of the draw, and of the change.
        """
        ...


def files_of(entities: Labels, images: Mapping[str, Sequence[Path]]) -> dict[int, Sequence[Path]]:
    """Pictures by row, from those by label.

    Raises:
        DataError: of no entity of the bundle.
    """
    rows = {row: files for label, files in images.items() if files and (row := entities.find(label)) is not None}
    if not rows:
        raise DataError("no picture is of an entity of the bundle. Name files <label>.png or <label>/*.png.")
    return dict(sorted(rows.items()))


def drawn(files: Files, most: int | None, seed: int) -> Files:
    """So many of each at most."""
    if most is None:
        return files
    random = np.random.default_rng(seed)
    orders = {row: random.permutation(len(own)) for row, own in files.items()}
    return {row: [own[place] for place in sorted(orders[row][:most].tolist())] for row, own in files.items()}


def labelled(bundle: Bundle, dataset: DataSet | None) -> DataSet:
    """Whose labels pictures are called by: those of the data set, or of the bundle."""
    if dataset is not None:
        return dataset
    return DataSet(KnowledgeGraph(bundle.path.name, bundle.entities, bundle.relations, **bundle.triples))


def picture_conditions(
    pictures: Pictures, parts: Sequence[Part], other: Files | None, seeds: Sequence[int], *, anew: bool
) -> Iterator[Condition]:
    """Fewer, worse and other ones.

    Args:
        other: those by somebody else, if there are any.
        anew: whether they are compared with `Plan.anew`.
    """
    if "pictures" in parts:
        yield from _numbers(pictures, seeds, anew)
    if "robustness" in parts:
        yield from _worse(pictures, seeds, anew)
        if other is not None:
            yield _other(pictures, other, anew)


def other_files(pictures: Pictures, bundle: Bundle, dataset: DataSet | None, folder: Path) -> Files:
    """Pictures in another folder, of entities that have one in training.

    Raises:
        DataError: there is none.
    """
    found = files_of(bundle.entities, find_entity_images(folder, labelled(bundle, dataset)))
    replaced = {row: files for row, files in found.items() if row in pictures.files}
    if not replaced:
        raise DataError(f"{folder} has no picture of an entity that has one in training.")
    return replaced


def _numbers(pictures: Pictures, seeds: Sequence[int], anew: bool) -> Iterator[Condition]:
    most = max(map(len, pictures.files.values()))
    counts = {*range(1, min(most, _FEW_PICTURES) + 1), most}
    counts |= {2**power for power in range(3, 10) if 2**power < most}
    for count in sorted(counts):
        level = f"{count} of {most}"

        def make(seed: int, count: int = count) -> Any:
            return pictures.given(most=count, seed=seed)

        drawn_with = seeds if count < most else (0,)
        yield Condition("pictures", "pictures of an entity", level, {"pictures": count}, drawn_with, make, anew)


def _worse(pictures: Pictures, seeds: Sequence[int], anew: bool) -> Iterator[Condition]:
    for name, strengths in CHANGES.items():
        for strength, change in strengths.items():

            def make(seed: int, change: Change = change) -> Any:
                return pictures.given(change, seed=seed)

            drawn_with = seeds if name in BY_CHANCE else (0,)
            settings = {"modality": IMAGES, "strength": strength}
            yield Condition("robustness", name, strength, settings, drawn_with, make, anew)


def _other(pictures: Pictures, other: Files, anew: bool) -> Condition:
    def make(seed: int) -> Any:
        return pictures.given(others=other, seed=seed)

    level = f"of {len(other):,} of {len(pictures.files):,} entities"
    settings = {"modality": IMAGES, "entities": len(other)}
    return Condition("robustness", "pictures by somebody else", level, settings, (0,), make, anew)
