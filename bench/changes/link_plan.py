"""The conditions of a bundle of link prediction: tokens or modalities of its entities, their pictures and texts."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from mmkg_sdk.bundle import Bundle
from mmkg_sdk.data.entity_images import find_entity_images
from mmkg_sdk.data.graph import DataSet, KnowledgeGraph
from mmkg_sdk.data.open import open_dataset
from mmkg_sdk.errors import DataError, QueryError
from mmkg_sdk.families.entity_batch import EntityBatch
from mmkg_sdk.registry import said_modality

from .conditions import SHARES, Condition, Part, Plan
from .entity_inputs import EntityInputs, TokenOrder, some_rows, token_orders
from .entity_pictures import IMAGES, EntityPictures, takes_pictures
from .picture_changes import BY_CHANCE, CHANGES

# Of three modalities and more not every number of each goes with every number of the others.
_MOST_POINTS = 100
_FEW_PICTURES = 5
# What features of pictures are compared with, where training moved those that the bundle has.
ANEW = "the same pictures, seen anew"

Counts = Mapping[str, Sequence[int]]


def link_plan(
    bundle: Bundle,
    parts: Sequence[Part],
    *,
    data: str | None,
    images: Path | None,
    other_images: Path | None,
    tokens: Counts,
    seeds: Sequence[int],
) -> Plan:
    """What can be measured of a bundle with what is given.

    Args:
        data: the data set that it was trained on, tokenized.
        images: the pictures that its tokens were made of; None: those of the data set.
        other_images: others of the same entities.
        tokens: numbers of tokens of the frontier by modality ("visual", "text", further ones).

    Raises:
        DataError: data or pictures are missing or of another model.
        QueryError: token counts of a modality that the model does not have, or out of range.
    """
    inputs = EntityInputs.of(bundle)
    dataset = None if data is None else open_dataset(data)
    plan = Plan([], [], same_work=inputs.kind == "features")
    if "frontier" in parts:
        _add(plan, *_frontier(inputs, dataset, tokens))
    elif tokens:
        raise QueryError("token counts go with the part frontier, which was not asked for.")
    if "robustness" in parts:
        plan.conditions.extend(_losses(inputs, seeds))
    if set(parts) & {"pictures", "robustness"}:
        pictures = _pictures(inputs, dataset, images)
        if isinstance(pictures, str):
            if other_images is not None:
                raise DataError(f"other pictures cannot be measured. {pictures}")
            plan.left_out.append(f"Numbers of pictures, noise, blur, JPEG and other pictures are left out. {pictures}")
        else:
            anew = _anew(pictures)
            if anew is not None:
                plan.anew = anew
                plan.conditions.append(anew)
            if "pictures" in parts:
                plan.conditions.extend(_numbers(pictures, seeds, anew is not None))
            if "robustness" in parts:
                plan.conditions.extend(_worse(pictures, seeds, anew is not None))
                _add(plan, *_other(pictures, _dataset(bundle, dataset), other_images, anew is not None))
    return plan


def _add(plan: Plan, conditions: Sequence[Condition], left_out: Sequence[str]) -> None:
    plan.conditions.extend(conditions)
    plan.left_out.extend(left_out)


# ---- frontier ------------------------------------------------------------------------------------------------------


def _frontier(inputs: EntityInputs, dataset: DataSet | None, asked: Counts) -> tuple[list[Condition], list[str]]:
    if inputs.kind == "features":
        if asked:
            raise QueryError("this model takes one vector of each modality, and no numbers of tokens.")
        return _with_and_without(inputs), [
            "The encoder takes a vector of every modality for each entity: it has no number of tokens that could vary, "
            "and works as long without a modality as with it."
        ]
    for name in asked:
        if name not in inputs.values:
            raise QueryError(
                f"token counts of {name!r:.80}; the modalities of this model are {', '.join(inputs.values)}."
            )
    if dataset is None:
        if asked:
            raise QueryError("token counts need the data set that the model was trained on: --data DATASET.")
        return _with_and_without(inputs), [
            "Numbers of tokens are left out: which tokens of an entity are the most frequent is told by the data set "
            "that the model was trained on. Name it: --data DATASET."
        ]
    orders = token_orders(inputs, dataset)
    levels = {name: _levels(name, order, inputs, asked.get(name), len(orders)) for name, order in orders.items()}
    points = list(itertools.product(*levels.values()))
    if len(points) > _MOST_POINTS:
        raise QueryError(
            f"{len(points):,} settings of token counts; expected at most {_MOST_POINTS}. Name fewer counts."
        )
    return [_tokens(inputs, orders, dict(zip(levels, point, strict=True))) for point in points], []


def _levels(
    name: str, order: TokenOrder, inputs: EntityInputs, asked: Sequence[int] | None, modalities: int
) -> list[int]:
    if asked is not None:
        if wrong := [count for count in asked if not 0 <= count <= order.most]:
            raise QueryError(f"{wrong[0]:,} {name} tokens; an entity has 0 to {order.most:,} of them here.")
        return sorted(set(asked))
    trained = inputs.values[name].shape[1]
    if modalities > 2:
        found = {0, trained}
    else:
        found = {0, 1, trained, *(2**power for power in range(1, 7) if 2**power <= 2 * trained)}
    return sorted({min(count, order.most) for count in found})


def _tokens(inputs: EntityInputs, orders: Mapping[str, TokenOrder], counts: Mapping[str, int]) -> Condition:
    def make(seed: int) -> EntityBatch:
        changed = inputs
        for name, count in counts.items():
            changed = changed.with_modality(name, *orders[name].cut(count))
        return changed.batch()

    level = " + ".join(f"{count} {said_modality(name)}" for name, count in counts.items())
    return Condition("frontier", "tokens", level, {"tokens": dict(counts)}, (0,), make)


def _with_and_without(inputs: EntityInputs) -> list[Condition]:
    def make(left_out: Sequence[str], seed: int) -> EntityBatch:
        changed = inputs
        for name in left_out:
            if inputs.kind == "tokens":  # none at all, which is less work than masked ones
                changed = changed.with_modality(name, inputs.values[name][:, :0], inputs.missing[name][:, :0])
            else:
                changed = changed.dropped(name, np.arange(len(inputs.values[name])))
        return changed.batch()

    found = []
    for kept in itertools.product((True, False), repeat=len(inputs.values)):
        with_them = dict(zip(inputs.values, kept, strict=True))
        left_out = [name for name, one in with_them.items() if not one]
        names = [said_modality(name) for name, one in with_them.items() if one]
        level = " + ".join(["structure", *names])
        found.append(
            Condition("frontier", "modalities", level, {"modalities": with_them}, (0,), partial(make, left_out))
        )
    return found


# ---- pictures and robustness ---------------------------------------------------------------------------------------


def _losses(inputs: EntityInputs, seeds: Sequence[int]) -> Iterator[Condition]:
    """Modalities that entities lack, and images of others."""

    def dropped(name: str, share: float, seed: int) -> EntityBatch:
        return inputs.dropped(name, some_rows(inputs.present(name), share, seed)).batch()

    def exchanged(share: float, seed: int) -> EntityBatch:
        return inputs.exchanged(IMAGES, some_rows(inputs.present(IMAGES), share, seed)).batch()

    for name in inputs.values:
        if not len(inputs.present(name)):
            continue
        for share in SHARES:
            level, drawn = f"{100 * share:.0f} % of the entities", seeds if share < 1 else (0,)
            settings = {"modality": name, "share": share}
            what = f"{said_modality(name)} dropped"
            yield Condition("robustness", what, level, settings, drawn, partial(dropped, name, share))
    if len(inputs.present(IMAGES) if IMAGES in inputs.values else ()) > 1:
        for share in SHARES:
            level, settings = f"{100 * share:.0f} % of the entities", {"modality": IMAGES, "share": share}
            yield Condition("robustness", "image of another entity", level, settings, seeds, partial(exchanged, share))


def _pictures(inputs: EntityInputs, dataset: DataSet | None, images: Path | None) -> EntityPictures | str:
    """The pictures of the entities, or why there are none and what to do."""
    if why := takes_pictures(inputs):
        return why
    if images is not None:
        return EntityPictures.of(inputs, find_entity_images(images, _dataset(inputs.bundle, dataset)))
    if dataset is None or not dataset.images:
        return "Name the pictures that the model was trained with: --images DIR."
    return EntityPictures.of(inputs, dataset.images)


def _dataset(bundle: Bundle, dataset: DataSet | None) -> DataSet:
    """Whose labels pictures are called by."""
    if dataset is not None:
        return dataset
    triples = bundle.triples
    return DataSet(KnowledgeGraph(bundle.path.name, bundle.entities, bundle.relations, **triples))


def _anew(pictures: EntityPictures) -> Condition | None:
    """What other pictures are compared with, where the training moved the features that it began with.

    Raises:
        DataError: the tokens or features of the bundle were made of other pictures.
    """
    if pictures.inputs.are_moved:
        settings = {"modality": IMAGES}
        return Condition("pictures", ANEW, "all", settings, (0,), lambda seed: pictures.seen().batch())
    if unlike := pictures.unlike_trained():
        raise DataError(
            f"{unlike:,} of {len(pictures.files):,} entities have other {pictures.inputs.kind} of these pictures than "
            "the bundle has. Name the pictures that it was trained with, all of them, as --images DIR."
        )
    return None


def _numbers(pictures: EntityPictures, seeds: Sequence[int], anew: bool) -> Iterator[Condition]:
    most = pictures.most
    counts = {*range(1, min(most, _FEW_PICTURES) + 1), most}
    counts |= {2**power for power in range(3, 10) if 2**power < most}
    for count in sorted(counts):
        level = f"{count} of {most}"

        def make(seed: int, count: int = count) -> EntityBatch:
            return pictures.seen(most=count, seed=seed).batch()

        drawn = seeds if count < most else (0,)
        yield Condition("pictures", "pictures of an entity", level, {"pictures": count}, drawn, make, anew)


def _worse(pictures: EntityPictures, seeds: Sequence[int], anew: bool) -> Iterator[Condition]:
    for name, strengths in CHANGES.items():
        for strength, change in strengths.items():

            def make(seed: int, change: object = change) -> EntityBatch:
                return pictures.seen(change, seed=seed).batch()  # type: ignore[arg-type]

            drawn = seeds if name in BY_CHANCE else (0,)
            settings = {"modality": IMAGES, "strength": strength}
            yield Condition("robustness", name, strength, settings, drawn, make, anew)


def _other(
    pictures: EntityPictures, dataset: DataSet, other_images: Path | None, anew: bool
) -> tuple[list[Condition], list[str]]:
    if other_images is None:
        return [], ["Pictures by somebody else are left out. Name some: --other-images DIR."]
    found = EntityPictures.of(pictures.inputs, find_entity_images(other_images, dataset))
    replaced = {row: files for row, files in found.files.items() if row in pictures.files}
    if not replaced:
        raise DataError(f"{other_images} has no picture of an entity that has one in training.")

    def make(seed: int) -> EntityBatch:
        return pictures.seen(others=replaced, seed=seed).batch()

    level = f"of {len(replaced):,} of {len(pictures.files):,} entities"
    settings = {"modality": IMAGES, "entities": len(replaced)}
    return [Condition("robustness", "pictures by somebody else", level, settings, (0,), make, anew)], []
