"""The facts of the atlas as they are written in countries.json and descriptions.json."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

CONTINENTS = ("Africa", "Asia", "Europe", "North America", "South America", "Oceania")


@dataclass(frozen=True)
class Country:
    """One record of countries.json; every name in it is an entity label."""

    name: str
    capital: str
    continent: str
    currency: tuple[str, ...]
    language: tuple[str, ...]
    neighbour: tuple[str, ...]
    description: str


@cache
def countries() -> tuple[Country, ...]:
    """All countries, sorted by name."""
    return tuple(
        Country(
            name=record["name"],
            capital=record["capital"],
            continent=record["continent"],
            currency=tuple(record["currency"]),
            language=tuple(record["language"]),
            neighbour=tuple(record["neighbour"]),
            description=record["description"],
        )
        for record in _read("countries.json")
    )


@cache
def other_descriptions() -> dict[str, dict[str, str]]:
    """Kind ("capitals", "continents", "currencies", "languages") -> label -> one sentence."""
    kinds: dict[str, dict[str, str]] = _read("descriptions.json")
    return kinds


def _read(name: str) -> Any:
    return json.loads(resources.files(__package__).joinpath(name).read_text(encoding="utf-8"))
