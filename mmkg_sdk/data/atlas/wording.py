"""How the entities of the atlas are called in running text, and sentences made from templates.

A template has slots in braces; the same slot stands once. names.json holds the names, words.json common words by kind,
templates.json the templates.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from .chance import pick
from .facts import Country, countries

Span = tuple[int, int]
# Slots whose names take "the" where the language wants it: "the Netherlands", but "the Solomon Islands team".
_WITH_ARTICLE = ("country", "other", "neighbour", "other_neighbour", "river_country", "org", "org2")
# Capitals that share the name of their country, so that no sentence tells which of the two it means by name.
_CITY = " (city)"
# Where "a" becomes "an"; "a Ugandan", "a European" and "a university" begin with a consonant.
_VOWEL = re.compile(r"(?!uni|eu|ug|uk|ur)[aeiou]")
_WORD = re.compile(r"\w+(?:['-]\w+)*|[^\w\s]")


@dataclass(frozen=True)
class Sentence:
    """A finished sentence.

    Attributes:
        text: as one reads it.
        spans: slot -> first character and the one after the last, without the article.
    """

    text: str
    spans: dict[str, Span]


@cache
def read_json(name: str) -> Any:
    """A JSON file of this folder."""
    return json.loads(resources.files(__package__).joinpath(name).read_text(encoding="utf-8"))


@cache
def country_of(name: str) -> Country:
    """The record of a country, or of the country that has this capital."""
    return next(country for country in countries() if name in (country.name, country.capital))


def values(country: Country, relation: str) -> tuple[str, ...]:
    """Labels of the tails of one relation; capital and continent are single."""
    found = getattr(country, relation)
    return (found,) if isinstance(found, str) else found


def has_own_name(capital: str) -> bool:
    """Whether the capital is called otherwise than its country."""
    return not capital.endswith(_CITY)


def spoken(label: str) -> str:
    """The name of an entity as it stands inside a sentence."""
    if label in ("Euro", "Pound sterling"):
        return label.lower()
    return label.removesuffix(_CITY)


def short_currency(label: str) -> str:
    """What people say for short: "peso", "pound"; the whole name where the last word is no unit."""
    if label == "Pound sterling":
        return "pound"
    return spoken(label) if label == "Zimbabwe gold" else label.split()[-1].lower()


def demonym(country: str) -> str:
    """The adjective of a country; two countries may share it."""
    found: str = read_json("names.json")["demonyms"][country]
    return found


def aliases(label: str) -> tuple[str, ...]:
    """Other and shorter names; several entities may share one."""
    return tuple(read_json("names.json")["aliases"].get(label, ()))


def fill(template: str, names: Mapping[str, str]) -> Sentence:
    """The sentence of a template; `names` has a name for every slot, and may have more."""
    articles = read_json("names.json")["article"]
    text, spans, end = "", {}, 0
    for slot in re.finditer(r"\{(\w+)\}", template):
        name = names[slot[1]]
        text += template[end : slot.start()]
        if slot[1] in _WITH_ARTICLE and name in articles:
            text += "the " if text else "The "
        elif text.endswith((" a ", "A ")) and _VOWEL.match(name.lower()):
            text = text[:-1] + "n "
        spans[slot[1]] = (len(text), len(text) + len(name))
        text, end = text + name, slot.end()
    return Sentence(text + template[end:], spans)


def slots(template: str) -> tuple[str, ...]:
    """The slots of a template, from left to right."""
    return tuple(re.findall(r"\{(\w+)\}", template))


def common_words(template: str, *key: object) -> dict[str, str]:
    """A word of words.json for every slot that stands for one of a kind; "thing2" is another "thing"."""
    pools = read_json("words.json")
    found: dict[str, str] = {}
    for slot in slots(template):
        kind = slot.removesuffix("2")
        if kind in pools:
            found[slot] = pick([word for word in pools[kind] if word not in found.values()], slot, *key)
    return found


def split_words(sentence: Sentence) -> tuple[list[str], dict[str, Span]]:
    """Words with punctuation apart, and for each slot its first word and the one after its last."""
    places = [match.span() for match in _WORD.finditer(sentence.text)]
    starts = {start: position for position, (start, _) in enumerate(places)}
    ends = {end: position + 1 for position, (_, end) in enumerate(places)}
    words = [sentence.text[start:end] for start, end in places]
    return words, {slot: (starts[start], ends[end]) for slot, (start, end) in sentence.spans.items()}


def contains(text: str, name: str) -> int:
    """How often a name stands in a text as whole words."""
    return len(re.findall(rf"(?<!\w){re.escape(name)}(?!\w)", text))
