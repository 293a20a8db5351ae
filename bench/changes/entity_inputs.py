"""What the entities of a bundle are encoded from, by modality, and changes of it: less, others, fewer or more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mmkg_sdk.bundle import Bundle
from mmkg_sdk.data.graph import DataSet
from mmkg_sdk.data.tokens.inputs import kept_rows
from mmkg_sdk.errors import DataError, QueryError
from mmkg_sdk.families import contract
from mmkg_sdk.families.entity_batch import EntityBatch
from mmkg_sdk.registry import ordered_modalities

Kind = Literal["tokens", "features"]
Values: TypeAlias = "NDArray[Any]"
Missing: TypeAlias = "NDArray[np.bool_]"


@dataclass(frozen=True)
class EntityInputs:
    """One row per entity.

    Attributes:
        kind: whether a modality is tokens or a vector.
        values: by modality int64 [entities, tokens] or float32 [entities, width].
        missing: by modality, True where there is none: bool [entities, tokens] or [entities].
    """

    bundle: Bundle
    kind: Kind
    values: Mapping[str, Values]
    missing: Mapping[str, Missing]

    @classmethod
    def of(cls, bundle: Bundle) -> EntityInputs:
        """Of the bundle as it is.

        Raises:
            QueryError: its entities are not encoded from tokens or features, or it is a part of a sharded one.
        """
        inputs = bundle.inputs if "inputs" in bundle.tensors else {}
        kinds: tuple[Kind, Kind] = ("tokens", "features")
        for kind in kinds:
            names = [name.removesuffix(f"_{kind}") for name in inputs if name.endswith(f"_{kind}")]
            if names:
                values = {name: inputs[f"{name}_{kind}"] for name in ordered_modalities(names)}
                missing = {name: inputs[f"{name}_mask"] for name in values}
                if kind == "features":
                    # Where a missing modality is zeros, the mask does not tell.
                    missing = {name: missing[name] | ~values[name].any(axis=1) for name in values}
                return cls(bundle, kind, values, missing)
        raise QueryError(
            f"{bundle.path} keeps no tokens or features of its entities, which is what is varied. Name a bundle of "
            "MyGO or AdaMF-MAT that is not sharded, of entity linking, or of MKGformer's link prediction."
        )

    @property
    def are_moved(self) -> bool:
        """Whether training moved them, so that the same pictures and texts, seen anew, are others."""
        return self.kind == "features" and getattr(self.bundle.config, "train_features", True)

    def present(self, modality: str) -> NDArray[np.int64]:
        """The rows of entities that have a modality."""
        missing = self.missing[modality]
        return np.flatnonzero(~missing if missing.ndim == 1 else ~missing.all(axis=1))

    def batch(self) -> EntityBatch:
        """Checked, and missing modalities as the family has them."""
        given: dict[str, Any] = {self.kind: self.values, "masks": self.missing}
        structure = self.bundle.inputs["structure"]
        return contract.link_runtime(self.bundle.family).entity_batch(self.bundle, structure=structure, **given)

    def with_modality(self, name: str, values: Values, missing: Missing) -> EntityInputs:
        """Another modality in place of its own."""
        return replace(self, values={**self.values, name: values}, missing={**self.missing, name: missing})

    def dropped(self, modality: str, rows: NDArray[np.int64]) -> EntityInputs:
        """Some entities lack a modality."""
        missing = self.missing[modality].copy()
        missing[rows] = True
        return self.with_modality(modality, self.values[modality], missing)

    def exchanged(self, modality: str, rows: NDArray[np.int64]) -> EntityInputs:
        """Each of some entities has what the next of them had."""
        values, missing = self.values[modality].copy(), self.missing[modality].copy()
        values[rows], missing[rows] = values[np.roll(rows, 1)], missing[np.roll(rows, 1)]
        return self.with_modality(modality, values, missing)


def some_rows(rows: NDArray[np.int64], share: float, seed: int) -> NDArray[np.int64]:
    """A share of them in random order; those of a smaller share are among those of a larger one."""
    order = np.random.default_rng(seed).permutation(rows)
    return order[: round(share * len(rows))]


@dataclass(frozen=True)
class TokenOrder:
    """The tokens of one modality of every entity by frequency, which the data set tells: the most frequent first.

    Attributes:
        rows: int64 [entities, most], of the codebook; 0 where there is none.
        missing: bool [entities, most].
    """

    rows: NDArray[np.int64]
    missing: NDArray[np.bool_]

    @property
    def most(self) -> int:
        """Tokens that an entity can have, by the data and the graphs."""
        return int(self.rows.shape[1])

    def cut(self, count: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """The most frequent ones, in the order of their rows as the training had them, and what is missing."""
        missing = self.missing[:, :count]
        # What is missing has the largest row of all for once, and so comes last.
        order = np.argsort(np.where(missing, np.iinfo(np.int64).max, self.rows[:, :count]), axis=1, kind="stable")
        return np.take_along_axis(self.rows[:, :count], order, 1), np.take_along_axis(missing, order, 1)


def token_orders(inputs: EntityInputs, dataset: DataSet) -> dict[str, TokenOrder]:
    """By modality, as far as the graphs go.

    Raises:
        DataError: the tokens of the data set are not those that the bundle has.
    """
    return {name: _order(inputs, dataset, name) for name in inputs.values}


def _order(inputs: EntityInputs, dataset: DataSet, name: str) -> TokenOrder:
    own, hidden = inputs.values[name], inputs.missing[name]
    raw, entities = dataset.tokens.get(name), inputs.bundle.entities
    if raw is None:
        if hidden.all():
            return TokenOrder(own[:, :1] * 0, hidden[:, :1])
        raise DataError(f"{dataset.graph.name} has no {name} tokens. Name the data set that the model was trained on.")
    trained = own.shape[1]
    limit = inputs.bundle.graphs["entity_encoder"].axes()[f"{name}_tokens"].max
    # Rows of tokens behind the vocabulary are given in the order in which training kept them, so no others are known.
    beyond = any(max(tokens, default=0) > raw.vocabulary_size for tokens in raw.lists.values())
    found = dict(kept_rows(raw, trained if beyond else limit))
    most = max(map(len, found.values()), default=0)
    rows, missing = np.zeros((len(entities), max(1, most)), np.int64), np.ones((len(entities), max(1, most)), np.bool_)
    for label, columns in found.items():
        row = entities.find(label)
        if row is not None:
            rows[row, : len(columns)], missing[row, : len(columns)] = columns, False
    order = TokenOrder(rows, missing)
    again, masked = order.cut(trained)
    short = np.pad(masked, ((0, 0), (0, max(0, trained - masked.shape[1]))), constant_values=True)
    same = short.shape == hidden.shape and (short == hidden).all() and (again[~masked] == own[~hidden]).all()
    if not same:
        raise DataError(
            f"the {name} tokens of {dataset.graph.name} are not those that {inputs.bundle.path} has of its entities. "
            "Name the data set that the model was trained on."
        )
    return order
