"""What the benchmark must know of a family: each family's measuring.py says it, without torch, in the same names.

A family is measured against numbers of tokens. Where its graphs encode entities of any length, those of the bundle are
run; where they are made for one length, every number of tokens has a graph of its own, traced with random weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

import numpy as np

from ..bundle import Bundle
from ..registry import family_part
from .entity_batch import EntityBatch

if TYPE_CHECKING:
    from torch import nn

    from ..bundle.graph_specs import GraphSpec

# "all" counts every vector that is mixed for an entity, "text" and "visual" one modality.
Tokens = Literal["all", "text", "visual"]
Counts = Mapping[Tokens, Sequence[int]]

# Backend by which `mmkg_sdk.load` opens a bundle so that the compiled kernels do what they can.
KERNELS = "auto"
# Behind the name of a graph: the encoder as published, which is in no bundle, and the one with tables for tokens.
PLAIN, TOKEN_TABLE = "_plain", "_token_table"


@dataclass(frozen=True)
class Curve:
    """Throughput of one graph against one kind of tokens.

    Attributes:
        graph: the graph that is measured.
        unit: what is counted per second.
    """

    graph: str
    tokens: Tokens
    unit: str


@dataclass(frozen=True)
class Contender:
    """One way to run the graphs.

    Attributes:
        backend: that of `mmkg_sdk.load`.
        rewrite: PLAIN, TOKEN_TABLE, or "" for the graph that every bundle has.
        answers: whether queries are measured, too, and not the encoder only.
        encodes: whether the encoder is measured, too, and not queries only.
        is_reference: whether outputs and throughput of the others are compared with this one's.
    """

    name: str
    backend: str
    rewrite: str = ""
    answers: bool = True
    encodes: bool = True
    is_reference: bool = False

    def graph(self, curve: Curve) -> str:
        """The graph that it runs."""
        return curve.graph + self.rewrite


@dataclass(frozen=True)
class EncoderWork:
    """Of encoding one item, an entity or a query; a multiplication and an addition are two operations.

    Attributes:
        flop: operations.
        item_bytes: what must be read and written for this item alone.
        weight_bytes: what a run reads once for all its items.
    """

    flop: float
    item_bytes: float
    weight_bytes: float


@dataclass(frozen=True)
class Resized:
    """A model for another number of tokens.

    Attributes:
        config: its configuration.
        axes: sizes of named axes, beyond batches, mentions and candidates.
        lengths: of the second axis of inputs that the configuration does not tell, by input.
    """

    config: Any
    axes: Mapping[str, int] = field(default_factory=dict)
    lengths: Mapping[str, int] = field(default_factory=dict)


class Measuring(Protocol):
    """A family's measuring.py."""

    @property
    def QUICK_COUNTS(self) -> Counts:
        """What the quickstart measures."""
        ...

    def curves(self, bundle: Bundle) -> tuple[Curve, ...]:
        """What can be measured of a bundle."""
        ...

    def contenders(self, bundle: Bundle) -> tuple[Contender, ...]:
        """Who is measured; one is the reference."""
        ...

    def absence(self, bundle: Bundle, contender: Contender, device: str) -> str | None:
        """Why this bundle cannot have a contender on a device; None if it can."""
        ...

    def token_limits(self, bundle: Bundle, tokens: Tokens) -> tuple[int, int]:
        """The least and the largest number of tokens."""
        ...

    def default_counts(self, bundle: Bundle, tokens: Tokens) -> tuple[int, ...]:
        """The numbers of tokens to measure where nobody names others."""
        ...

    def count_problem(self, tokens: Tokens, count: int) -> str | None:
        """Why there cannot be so many tokens, though it is within the limits; None if there can."""
        ...

    def random_entities(self, bundle: Bundle, token_count: int, count: int, random: np.random.Generator) -> EntityBatch:
        """Entities of `token_count` vectors each, for curves of "all" tokens."""
        ...

    def encoder_work(self, bundle: Bundle, graph: str, token_count: int, number_bytes: int) -> EncoderWork:
        """Of a curve of "all" tokens.

        Args:
            graph: of the contender (`Contender.graph`).
            number_bytes: of a weight.
        """
        ...

    def query_work(self, bundle: Bundle, number_bytes: int) -> EncoderWork | None:
        """Of the vector of a query, from ids; None where it depends on the texts that are asked about.

        Args:
            number_bytes: of a weight.
        """
        ...

    def plain_encoder(self, bundle: Bundle) -> tuple[nn.Module, GraphSpec]:
        """The encoder of the rewrite PLAIN, and its signature; this needs torch."""
        ...

    def resized(self, bundle: Bundle, tokens: Tokens, count: int) -> Resized:
        """The model with another number of text or visual tokens.

        Positions are added where it has too few: what a longer one would cost.
        """
        ...


def measuring(family: str) -> Measuring:
    """What a family says of its measuring."""
    return cast(Measuring, family_part(family, "measuring"))
