"""PicturedSubject: link prediction by a model that is shown an entity's images with each query.

Of whose images goes with a query, the query says; so images are dropped and exchanged without a change of the bundle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmkg_sdk.answering.link_prediction import Model
from mmkg_sdk.data.entity_images import find_entity_images
from mmkg_sdk.data.open import open_dataset
from mmkg_sdk.errors import DataError, QueryError
from mmkg_sdk.families import contract
from mmkg_sdk.ranking.exact import RankingProtocol, Ranks
from mmkg_sdk.ranking.known_triples import TAIL, AnswerLists, Queries

from .conditions import SHARES, Condition, Outcome, Part, Plan
from .entity_inputs import some_rows
from .links import RankedTriples
from .picture_plan import NO_OTHERS, labelled, other_files, picture_conditions
from .shown_pictures import ShownPictures, ShownStates

# Of each entity, whose images are shown with it: int64 [entities].
Whose = NDArray[np.int64]
# Queries for a clock.
_TIMED = 64


def shows_images(model: Model) -> bool:
    """Whether a model is of this kind."""
    return contract.link_runtime(model.bundle.family).SHOWS_IMAGES and "images" in model.bundle.tensors


class PicturedSubject(RankedTriples):
    """Of a model that is shown the images of an entity with each query, which change."""

    unit = "queries"

    @property
    def asked(self) -> NDArray[np.int64]:
        """The entities whose images are shown with a query."""
        return np.unique(self.triples[:, [0, 2]])

    def measure(self, given: Whose | ShownStates | None) -> Outcome:
        """See Subject."""
        if given is None:
            return self.outcome(self.model.rank_answers)
        if isinstance(given, ShownStates):
            return self.outcome(Model(given.bundle(self.model.bundle), self.model.backend).rank_answers)

        def rank(queries: Queries, targets: NDArray[np.int64], known: AnswerLists, protocol: RankingProtocol) -> Ranks:
            return self.model.rank_answers(replace(queries, pictured=given[queries.entity]), targets, known, protocol)

        return self.outcome(rank)

    def run_once(self, given: Whose) -> int:
        """See Subject."""
        triples = self.triples[:_TIMED]
        queries = Queries(triples[:, 0], triples[:, 1], np.full(len(triples), TAIL), given[triples[:, 0]])
        self.model.query_vectors(queries)
        return len(queries)


@dataclass(frozen=True)
class EntityImages:
    """Attributes:
    pictured: entities that have an image, ascending.
    nobody: an entity that has none; None where all have one.
    """

    everyone: Whose
    pictured: NDArray[np.int64]
    nobody: int | None

    @classmethod
    def of(cls, model: Model) -> EntityImages:
        """Of a bundle. It keeps one row of states for all entities without an image: that of images of zeros."""
        rows, states = model.bundle.inputs["image_rows"], model.bundle.tensors["images"]["states"]
        sizes = {
            one.name: (1, *(size if isinstance(size, int) else 1 for size in one.shape[1:]))
            for one in model.bundle.graphs["image_encoder"].inputs
        }
        zeros = {name: np.zeros(shape, np.float32) for name, shape in sizes.items()}
        none = model.run_graph("image_encoder", zeros, ["image_state"])["image_state"][0]
        is_none = np.allclose(np.asarray(states[0], np.float32), none, rtol=1e-2, atol=1e-2)
        lacking = np.flatnonzero(rows == 0) if is_none else np.empty(0, np.int64)
        everyone = np.arange(len(rows))
        return cls(everyone, np.setdiff1d(everyone, lacking), int(lacking[0]) if len(lacking) else None)

    def dropped(self, rows: NDArray[np.int64]) -> Whose:
        """Some entities are shown without an image."""
        assert self.nobody is not None
        found = self.everyone.copy()
        found[rows] = self.nobody
        return found

    def exchanged(self, rows: NDArray[np.int64]) -> Whose:
        """Each of some entities is shown with the image of the next of them."""
        found = self.everyone.copy()
        found[rows] = np.roll(rows, 1)
        return found


def pictured_plan(
    subject: PicturedSubject,
    parts: Sequence[Part],
    *,
    data: str | None,
    images: Path | None,
    other_images: Path | None,
    tokens: object,
    seeds: Sequence[int],
) -> Plan:
    """What can be measured of a bundle that holds what the vision tower made of its entities' images.

    Args:
        data: the data set that it was trained on, for its pictures.
        images: the pictures that it was trained with, of the entities of the triples at least; None: those of `data`.
        other_images: others of the same entities.
        tokens: numbers of tokens, which these graphs do not take.

    Raises:
        QueryError: numbers of tokens.
        DataError: pictures are missing, or others than the bundle's states were made of.
    """
    if tokens:
        raise QueryError(
            "the number of patches and the texts of this bundle are those of its training. Leave --tokens out."
        )
    model = subject.model
    shown, plan = EntityImages.of(model), Plan([], [], same_work=True)
    everyone = shown.pictured
    if "frontier" in parts and len(everyone):
        settings = [("text + image", everyone[:0]), *([] if shown.nobody is None else [("text", everyone)])]
        for level, without in settings:
            kept = {"modalities": {"text": True, "image": not len(without)}}
            make = partial(_shown, shown, without)
            plan.conditions.append(Condition("frontier", "modalities", level, kept, (0,), make))
        plan.left_out.append(
            "A query reads the state of images, or that of none, which takes as long. Numbers of patches and lengths "
            "of text cannot vary."
        )
    if shown.nobody is None and len(everyone):
        plan.left_out.append("Images are not dropped: every entity has one, so the bundle holds no state of none.")
    if "robustness" in parts:
        plan.conditions.extend(_losses(shown, seeds))
    if set(parts) & {"pictures", "robustness"}:
        _add_pictures(plan, subject, parts, data, images, other_images, seeds)
    return plan


def _add_pictures(
    plan: Plan,
    subject: PicturedSubject,
    parts: Sequence[Part],
    data: str | None,
    images: Path | None,
    other_images: Path | None,
    seeds: Sequence[int],
) -> None:
    model, dataset = subject.model, None if data is None else open_dataset(data)
    files: Mapping[str, Sequence[Path]]
    if images is not None:
        files = find_entity_images(images, labelled(model.bundle, dataset))
    elif dataset is not None and dataset.images:
        files = dataset.images
    else:
        why = "Name the pictures that the model was trained with: --images DIR."
        if other_images is not None:
            raise DataError(f"other pictures cannot be measured. {why}")
        plan.left_out.append(f"Numbers of pictures, noise, blur, JPEG and other pictures are left out. {why}")
        return
    pictures = ShownPictures.of(model, files, subject.asked)
    other = None if other_images is None else other_files(pictures, model.bundle, dataset, other_images)
    plan.conditions.extend(picture_conditions(pictures, parts, other, seeds, anew=False))
    if other is None and "robustness" in parts:
        plan.left_out.append(NO_OTHERS)


def _shown(images: EntityImages, without: NDArray[np.int64], seed: int) -> Whose:
    return images.dropped(without) if len(without) else images.everyone


def _losses(images: EntityImages, seeds: Sequence[int]) -> list[Condition]:
    def dropped(share: float, seed: int) -> Whose:
        return images.dropped(some_rows(images.pictured, share, seed))

    def exchanged(share: float, seed: int) -> Whose:
        return images.exchanged(some_rows(images.pictured, share, seed))

    found = []
    for what, make in (("image dropped", dropped), ("image of another entity", exchanged)):
        if len(images.pictured) < 2 or (make is dropped and images.nobody is None):
            continue
        for share in SHARES:
            drawn = (0,) if make is dropped and share == 1 else seeds
            level, settings = f"{100 * share:.0f} % of the entities", {"modality": "visual", "share": share}
            found.append(Condition("robustness", what, level, settings, drawn, partial(make, share)))
    return found
