"""Curve: what is measured against a number of tokens; and which ones each family has.

MyGO and AdaMF-MAT encode entities of any number of tokens with the graphs of the bundle. The graphs of MIMIC and
MKGformer are made for one length, so each of their points has a graph of its own: see sized_graphs.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isqrt
from typing import Any, Literal

from mmkg_sdk.bundle import Bundle
from mmkg_sdk.errors import QueryError
from mmkg_sdk.registry import LINK_PREDICTION, family_part

Tokens = Literal["all", "text", "visual"]
Counts = Mapping[Tokens, Sequence[int]]

_ENTITY_COUNTS = (4, 8, 14, 32, 64, 128, 256, 512)
_TEXT_COUNTS = (8, 16, 32, 64, 128)
# Sides of a square picture, in patches.
_SIDES = (2, 4, 7, 10, 14)
# The setting, or what follows from settings, that says how many tokens a bundle is made for.
_OWN_COUNT = {
    ("mimic", "text"): "text_length",
    ("mimic", "visual"): "num_image_tokens",
    ("mkgformer", "text"): "max_length",
    ("mkgformer", "visual"): "visual_tokens",
}
# Nothing in the world of these models is longer, and a mistyped number should not fill the memory.
_LONGEST = 4096


@dataclass(frozen=True)
class Curve:
    """Throughput of one graph against one kind of tokens.

    Attributes:
        graph: the graph that is measured.
        tokens: "all" counts every vector that is mixed for an entity, "text" and "visual" one modality.
        unit: what is counted per second.
    """

    graph: str
    tokens: Tokens
    unit: str


def axis_name(tokens: Tokens) -> str:
    """What is counted, in words."""
    return "tokens" if tokens == "all" else f"{tokens} tokens"


def curves(bundle: Bundle) -> tuple[Curve, ...]:
    """What can be measured of a bundle."""
    if bundle.family == "mimic":
        return (
            Curve("text_encoder", "text", "texts"),
            Curve("image_encoder", "visual", "images"),
            # What stands for a picture in a pair has no patches any more.
            Curve("interaction", "text", "pairs"),
        )
    if bundle.family == "mkgformer":
        question = bundle.contents.graphs[0]
        asked = "queries" if bundle.config.task == LINK_PREDICTION else "sentences"
        return Curve(question, "text", asked), Curve(question, "visual", asked)
    return (Curve("entity_encoder", "all", "entities"),)


def chosen_counts(bundle: Bundle, asked: Counts) -> dict[Tokens, tuple[int, ...]]:
    """The token counts to measure by kind, ascending, each once; kinds that are not named get the family's own.

    Raises:
        QueryError: a kind that the bundle has no curve of, no counts, or a count that cannot be.
    """
    kinds = dict.fromkeys(curve.tokens for curve in curves(bundle))
    for kind in asked:
        if kind not in kinds:
            raise QueryError(
                f"{bundle.family} bundles are measured by numbers of {_words(kinds)}; counts of {_words([kind])} were "
                "given."
            )
    counts = {kind: tuple(asked.get(kind) or ()) if kind in asked else _defaults(bundle, kind) for kind in kinds}
    for kind, numbers in counts.items():
        if not numbers:
            raise QueryError(f"no numbers of {_words([kind])} given; expected at least one.")
        for number in numbers:
            check_count(bundle, kind, number)
    return {kind: tuple(sorted(set(numbers))) for kind, numbers in counts.items()}


def check_count(bundle: Bundle, tokens: Tokens, count: Any) -> None:
    """Whether there can be so many tokens.

    Raises:
        QueryError: there cannot.
    """
    least, most = _limits(bundle, tokens)
    if isinstance(count, bool) or not isinstance(count, int) or not least <= count <= most:
        raise QueryError(
            f"token count {count!r}; this {bundle.family} bundle takes a whole number from {least} to {most:,}."
        )
    if bundle.family == "mimic" and tokens == "visual" and isqrt(count - 1) ** 2 != count - 1:
        raise QueryError(
            f"{count} visual tokens are no picture: a square of patches and one token more, such as 5, 10, 17, 50."
        )


def resized(bundle: Bundle, tokens: Tokens, count: int) -> Any:
    """The configuration of a MIMIC or MKGformer bundle with another number of tokens.

    Positions are added where the model has too few: what a longer one would cost.
    """
    config = bundle.config
    if bundle.family == "mimic" and tokens == "text":
        return replace(config, text_length=count, text_positions=max(count, config.text_positions))
    if bundle.family == "mimic":
        return replace(config, image_size=isqrt(count - 1) * config.patch_size)
    if tokens == "text":
        return replace(config, max_length=count, num_positions=max(count, config.num_positions))
    return config  # MKGformer's question graphs take any state of the pictures: see sized_graphs.py


def _limits(bundle: Bundle, tokens: Tokens) -> tuple[int, int]:
    if tokens == "all":
        least, most = family_part(bundle.family, "runtime").token_limits(bundle)
        return least, most
    # A text has its first and last token, MKGformer's questions have both markers, and a picture one patch.
    return (4 if tokens == "text" else 2), _LONGEST


def _defaults(bundle: Bundle, tokens: Tokens) -> tuple[int, ...]:
    if tokens == "all":
        least, most = _limits(bundle, tokens)
        return tuple(count for count in _ENTITY_COUNTS if least <= count <= most) or (least,)
    own = getattr(bundle.config, _OWN_COUNT[bundle.family, tokens])
    others = _TEXT_COUNTS if tokens == "text" else tuple(1 + side**2 for side in _SIDES)
    return (*others, own)


def _words(kinds: Iterable[Tokens]) -> str:
    return " and ".join(axis_name(kind) for kind in kinds)
