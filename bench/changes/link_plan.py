"""The conditions of a bundle of link prediction: tokens or modalities of its entities, their pictures and texts."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from mmkg_sdk.bundle import Bundle
from mmkg_sdk.data.entity_images import find_entity_images
from mmkg_sdk.data.graph import DataSet
from mmkg_sdk.data.open import open_dataset
from mmkg_sdk.errors import DataError, QueryError
from mmkg_sdk.families.entity_batch import EntityBatch
from mmkg_sdk.registry import said_modality

from .conditions import SHARES, Condition, Part, Plan
from .entity_inputs import EntityInputs, TokenOrder, some_rows, token_orders
from .entity_pictures import EntityPictures, takes_pictures
from .picture_plan import IMAGES, NO_OTHERS, labelled, other_files, picture_conditions

# Of three modalities and more not every number of each goes with every number of the others.
_MOST_POINTS = 100
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
            other = None if other_images is None else other_files(pictures, bundle, dataset, other_images)
            plan.conditions.extend(picture_conditions(pictures, parts, other, seeds, anew=anew is not None))
            if other is None and "robustness" in parts:
                plan.left_out.append(NO_OTHERS)
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
        return EntityPictures.of(inputs, find_entity_images(images, labelled(inputs.bundle, dataset)))
    if dataset is None or not dataset.images:
        return "Name the pictures that the model was trained with: --images DIR."
    return EntityPictures.of(inputs, dataset.images)


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
