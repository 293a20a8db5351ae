"""Fewer and more tokens of an entity than its bundle keeps: by frequency, which the data set tells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmkg_sdk.data.graph import DataSet
from mmkg_sdk.data.tokens.inputs import kept_rows
from mmkg_sdk.errors import DataError

from .entity_inputs import EntityInputs


@dataclass(frozen=True)
class TokenOrder:
    """The tokens of one modality of every entity, the most frequent first.

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
