"""What a family's configuration is: a frozen dataclass of numbers and names, checked, and JSON both ways."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Self, TypeVar, get_type_hints

from ..errors import DataError
from ..registry import family_part

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Kind = TypeVar("Kind", bound="DataclassInstance")
# No size of a model comes near it.
_LARGEST_SIZE = (1 << 31) - 1
# Each takes a module even where nothing is allocated for it.
_MOST_LAYERS = 1024


@dataclass(frozen=True)
class FamilyConfig:
    """Base of the configurations. Whole numbers are at least 1, other numbers finite and at least 0.

    Attributes:
        task: what the model does, as registry.py names it.
    """

    if TYPE_CHECKING:  # a property in most families, a field in the one that has several tasks

        @property
        def task(self) -> str: ...

    def __post_init__(self) -> None:
        check_numbers(self)

    @classmethod
    def of(cls, config: FamilyConfig) -> Self:
        """The same configuration, which is known to be one of this family."""
        assert isinstance(config, cls)
        return config

    def to_json(self) -> dict[str, Any]:
        """The configuration as a JSON object."""
        return asdict(self)

    def in_precision(self, precision: str) -> Self:
        """The configuration of a bundle in one of PRECISIONS; the same unless a family says otherwise."""
        return self

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """The configuration of `to_json`; absent settings take their defaults.

        Raises:
            DataError: an unknown setting, a missing one without default, or a value out of range.
        """
        return fields_from_json(cls, values, cls.__name__.removesuffix("Config"))


def check_numbers(values: DataclassInstance, place: str = "") -> None:
    """Whether the whole numbers of a dataclass are at least 1 and its other numbers finite and at least 0.

    Args:
        place: in front of a message.

    Raises:
        DataError: they are not.
    """
    kinds = get_type_hints(type(values))
    for field in fields(values):
        value = getattr(values, field.name)
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if kinds[field.name] is int and (type(value) is not int or not 1 <= value <= _LARGEST_SIZE):
            raise DataError(f"{place}{field.name} is {value!r:.80}; expected a whole number of at least 1, of 31 bits.")
        if field.name.endswith("_layers") and value > _MOST_LAYERS:
            raise DataError(f"{place}{field.name} is {value}; expected at most {_MOST_LAYERS:,}.")
        if kinds[field.name] is float and (not is_number or not 0 <= value <= sys.float_info.max):
            raise DataError(f"{place}{field.name} is {value!r:.80}; expected a finite number of at least 0.")


def fields_from_json(kind: type[Kind], values: dict[str, Any], called: str) -> Kind:
    """A dataclass from its fields by name; absent ones take their defaults.

    Raises:
        DataError: an unknown field, or a missing one without default.
    """
    known = {field.name for field in fields(kind)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise DataError(f"unknown {called} setting {unknown[0]!r}; known: {', '.join(sorted(known))}.")
    try:
        return kind(**values)
    except TypeError as err:
        raise DataError(f"incomplete {called} configuration: {err}") from err


def read_config(family: str, values: dict[str, Any]) -> FamilyConfig:
    """The configuration of a family from JSON.

    Raises:
        DataError: unknown family, or none of its configurations.
    """
    kind: type[FamilyConfig] = family_part(family, "config").Config
    return kind.from_json(values)
