"""Modalities beyond image and text in a configuration: a list of objects in the order of their names.

`kind` is the dataclass of one, which has a `name`.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ..bundle.config import fields_from_json
from ..errors import DataError
from ..registry import check_further_modality

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    class NamedModality(DataclassInstance, Protocol):
        """What a modality is in every family."""

        @property
        def name(self) -> str: ...


Kind = TypeVar("Kind", bound="NamedModality")
# Each takes modules and inputs of graphs, however small.
_MOST = 64


def further_from_json(values: object, kind: type[Kind]) -> tuple[Kind, ...]:
    """The further modalities of a configuration in JSON.

    Raises:
        DataError: no list of objects, an unknown or missing field, or a value out of range.
    """
    return tuple(fields_from_json(kind, one, "modality") for one in _objects(values))


def further_to_json(values: dict[str, Any]) -> dict[str, Any]:
    """A configuration's JSON; without further modalities it is what versions before them read."""
    further = list(values["further_modalities"])
    others = {name: value for name, value in values.items() if name != "further_modalities"}
    return others | ({"further_modalities": further} if further else {})


def check_further(further: object, kind: type[NamedModality]) -> None:
    """Whether modalities beyond the published ones can stand together.

    Raises:
        DataError: another type, too many, or not in the order of their names.
    """
    if not isinstance(further, tuple) or not all(isinstance(one, kind) for one in further):
        raise DataError(f"further_modalities is {further!r:.80}; expected a list of modalities.")
    names = [check_further_modality(one.name) for one in further]
    if len(names) > _MOST:
        raise DataError(f"{len(names)} further modalities; expected at most {_MOST}.")
    if any(one >= other for one, other in itertools.pairwise(names)):
        raise DataError(f"further_modalities are {', '.join(names)}; expected each once, in the order of their names.")


def further_settings(given: object, decided: Mapping[str, Mapping[str, int]]) -> list[dict[str, Any]]:
    """Every further modality of the data, with what is set of it and what the data decide.

    Args:
        given: the setting `further_modalities`: objects with a name.
        decided: of each modality of the data beyond the published ones, by name.

    Raises:
        DataError: settings of no modality of the data, of one twice, or without a name.
    """
    said = [one.get("name") for one in _objects(given)]
    if wrong := [name for name in said if name not in decided or said.count(name) > 1]:
        raise DataError(
            f"further_modalities names {wrong[0]!r:.80}; expected each at most once, of those that the data have "
            f"beside image and text: {', '.join(decided) or 'none'}."
        )
    chosen = {one["name"]: one for one in _objects(given)}
    return [{"name": name, **chosen.get(name, {}), **sizes} for name, sizes in decided.items()]


def _objects(values: object) -> list[dict[str, Any]]:
    if not isinstance(values, list) or not all(isinstance(one, dict) for one in values):
        raise DataError(f"further_modalities is {values!r:.80}; expected a list of objects with a name each.")
    return values
