"""Sentences with a tag for each word: places of the atlas, invented people and organisations, and none of these.

People and organisations are made up; any likeness is chance. Some of them are called like a place ("Jordan", "Lima
Kite Club"), so that the sentence has to decide.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from .chance import number, ordered, pick, split_of
from .facts import Country, countries
from .flags import flag_countries
from .wording import demonym, fill, read_json, slots, split_words, spoken

SENTENCES = 1950  # from templates
_KINDS = {
    "country": "LOC",
    "other": "LOC",
    "city": "LOC",
    "continent": "LOC",
    "currency": "MISC",
    "language": "MISC",
    "other_language": "MISC",
    "demonym": "MISC",
    "person": "PER",
    "person2": "PER",
    "org": "ORG",
    "org2": "ORG",
}


@dataclass(frozen=True)
class Tagged:
    """A sentence with one BIO tag for each word; `flag` is the country whose flag is its image."""

    words: tuple[str, ...]
    tags: tuple[str, ...]
    flag: str | None

    @property
    def split(self) -> str:
        """By the words, so that no sentence is in two splits."""
        return split_of("tags", *self.words)


@cache
def tagged() -> tuple[Tagged, ...]:
    """All sentences, in an order of chance; none stands twice."""
    texts = read_json("templates.json")
    found = {made.words: made for made in (_made(texts["tags"], turn) for turn in range(SENTENCES))}
    for text in texts["plain"]:
        words, _ = split_words(fill(text, {}))
        found[tuple(words)] = Tagged(tuple(words), ("O",) * len(words), None)
    return tuple(ordered(found.values(), "tags"))


def _made(templates: list[str], turn: int) -> Tagged:
    template = templates[turn % len(templates)]
    country, other = (pick(countries(), name, turn) for name in ("country", "other"))
    if other == country:
        other = countries()[0]
    words, spans = split_words(fill(template, _names(country, other, turn)))
    tags = ["O"] * len(words)
    for slot, (start, end) in spans.items():
        tags[start:end] = [f"B-{_KINDS[slot]}", *[f"I-{_KINDS[slot]}"] * (end - start - 1)]
    shows_country = {"country", "city", "demonym"} & set(slots(template)) and country.name in flag_countries()
    flag = country.name if shows_country and number("flag", turn) % 4 == 0 else None
    return Tagged(tuple(words), tuple(tags), flag)


def _names(country: Country, other: Country, turn: int) -> dict[str, str]:
    """A name for every slot of the templates."""
    first, second = _people(turn)
    organisation, second_organisation = _organisations(turn, other)
    return {
        "country": country.name,
        "other": other.name,
        "city": spoken(country.capital),
        "continent": country.continent,
        "currency": spoken(pick(country.currency, "currency", turn)),
        "language": pick(country.language, "language", turn),
        "other_language": pick(other.language, "other_language", turn),
        "demonym": demonym(country.name),
        "person": first,
        "person2": second,
        "org": organisation,
        "org2": second_organisation,
    }


def _people(turn: int) -> tuple[str, str]:
    """Two different people; of some the sentence tells the first name only."""
    made = read_json("names.json")
    firsts = ordered(made["first_names"], "first", turn)[:2]
    surnames = ordered(made["surnames"], "surname", turn)[:2]
    full = [f"{first} {surname}" for first, surname in zip(firsts, surnames, strict=True)]
    short = number("short", turn) % 6 == 0
    return (firsts[0] if short else full[0], full[1])


def _organisations(turn: int, place: Country) -> tuple[str, str]:
    """Two different organisations; every fifth first one is called after a city."""
    made = read_json("names.json")
    first, second = ordered(made["organisations"], "organisation", turn)[:2]
    if number("local", turn) % 5 == 0:
        first = f"{spoken(place.capital)} {pick(made['city_organisations'], 'local', turn)}"
    return first, second
