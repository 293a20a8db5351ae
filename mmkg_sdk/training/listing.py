"""What can be set for a training: every setting of a family by name, and what the docstrings say it means."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from dataclasses import MISSING, asdict, dataclass, fields
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from ..errors import DataError
from ..families import contract
from ..files.labels import Labels
from .settings import TrainingSettings


@dataclass(frozen=True)
class Setting:
    """One setting.

    Attributes:
        type: in words, for example "float or null".
        default: None also where the data decide.
        decided_by_data: whether there is no default.
        trains: whether it is one of TrainingSettings rather than of the family's configuration.
    """

    name: str
    type: str
    default: Any
    decided_by_data: bool
    trains: bool
    meaning: str

    def to_json(self) -> dict[str, Any]:
        """The attributes by name."""
        return asdict(self)


def settings_of(family: str) -> list[Setting]:
    """All settings of a training: those of the family's configuration, then those of TrainingSettings.

    A name that both have stands for the latter, as in `start_training`.
    """
    training = _described(TrainingSettings, trains=True)
    names = {setting.name for setting in training}
    model = _described(contract.config_part(family).Config, trains=False)
    return [*(setting for setting in model if setting.name not in names), *training]


def check_names(family: str, given: Iterable[str]) -> None:
    """Whether there are such settings.

    Raises:
        DataError: there is none of a name; with near ones.
    """
    known = Labels([setting.name for setting in settings_of(family)], kind="setting")
    for name in given:
        if name not in known:
            near = ", ".join(map(repr, known.near(name))) or "none"
            raise DataError(
                f"unknown setting {name!r:.80} of {family}; near: {near}. "
                f"`mmkg-sdk train {family} --list-settings` lists all {len(known)}."
            )


def _described(kind: type[Any], *, trains: bool) -> list[Setting]:
    hints, meanings = get_type_hints(kind), _meanings(kind)
    return [
        Setting(
            field.name,
            _in_words(hints[field.name]),
            None if field.default is MISSING else field.default,
            field.default is MISSING,
            trains,
            meanings[field.name],
        )
        for field in fields(kind)
    ]


def _meanings(kind: type[Any]) -> dict[str, str]:
    """What stands under Attributes in the docstring of a class, by name."""
    _, _, attributes = (inspect.getdoc(kind) or "").partition("\nAttributes:\n")
    entries = re.findall(r"^ {4}(\w+(?:, \w+)*): (.*(?:\n {5,}.*)*)", attributes, flags=re.MULTILINE)
    return {name: " ".join(meaning.split()) for names, meaning in entries for name in names.split(", ")}


def _in_words(hint: Any) -> str:
    if get_origin(hint) is tuple:
        return "list of objects"
    if get_origin(hint) is Literal:
        return " or ".join(f'"{choice}"' for choice in get_args(hint))
    if parts := get_args(hint):
        return " or ".join(map(_in_words, parts))
    return "null" if hint is NoneType else str(hint.__name__)
