"""Sentences with a tag for each word: places, invented people and organisations, and none of these.

People and organisations are made up; any likeness is chance. Some of them are called like a place ("Jordan", "Lima
Kite Club"), so that the sentence has to decide. The slots for common words are many, so that a model learns which
words name nothing: it reads lower case, and a word that it never saw may be a name.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from .chance import number, ordered, pick, split_of
from .facts import CONTINENTS, Country, countries, other_descriptions
from .flags import flag_countries
from .wording import common_words, demonym, fill, read_json, short_currency, slots, split_words, spoken

SENTENCES = 12000  # from templates
_KINDS = {
    "country": "LOC",
    "other": "LOC",
    "neighbour": "LOC",
    "capital": "LOC",
    "city": "LOC",
    "town": "LOC",
    "other_town": "LOC",
    "continent": "LOC",
    "other_continent": "LOC",
    "river": "LOC",
    "river_country": "LOC",
    "currency": "MISC",
    "other_currency": "MISC",
    "language": "MISC",
    "other_language": "MISC",
    "demonym": "MISC",
    "demonym2": "MISC",
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
    words, spans = split_words(fill(template, common_words(template, turn) | _names(template, turn)))
    tags = ["O"] * len(words)
    for slot, (start, end) in spans.items():
        if slot in _KINDS:
            tags[start:end] = [f"B-{_KINDS[slot]}", *[f"I-{_KINDS[slot]}"] * (end - start - 1)]
    country = _country(template, turn).name
    shows_country = {"country", "city", "demonym"} & set(slots(template)) and country in flag_countries()
    return Tagged(tuple(words), tuple(tags), country if shows_country and number("flag", turn) % 4 == 0 else None)


def _country(template: str, turn: int) -> Country:
    """The country that a sentence is about; it has a neighbour where one is spoken of."""
    some = [country for country in countries() if country.neighbour] if "neighbour" in slots(template) else countries()
    return pick(some, "country", turn)


def _names(template: str, turn: int) -> dict[str, str]:
    """A name for every slot that stands for one."""
    made = read_json("names.json")
    country = _country(template, turn)
    away = [one for one in countries() if one != country and one.name not in country.neighbour]
    other = pick(away, "other", turn)
    language = pick(country.language, "language", turn)
    first, second = _people(turn)
    organisation, second_organisation = _organisations(turn, other)
    river_country = pick(list(made["rivers"]), "river", turn)
    return {
        "country": country.name,
        "other": other.name,
        "neighbour": pick(country.neighbour or (other.name,), "neighbour", turn),
        "capital": spoken(country.capital),
        "city": _town(country, "city", turn),
        "town": _town(country, "town", turn),
        "other_town": _town(other, "other_town", turn),
        "continent": country.continent,
        "other_continent": pick([one for one in CONTINENTS if one != country.continent], "continent", turn),
        "river": made["rivers"][river_country],
        "river_country": river_country,
        "currency": spoken(pick(country.currency, "currency", turn)),
        "other_currency": short_currency(pick(other.currency, "other_currency", turn)),
        "language": language,
        "other_language": pick([one for one in _languages() if one != language], "other_language", turn),
        "demonym": demonym(country.name),
        "demonym2": demonym(other.name),
        "person": first,
        "person2": second,
        "org": organisation,
        "org2": second_organisation,
    }


def _languages() -> list[str]:
    return list(other_descriptions()["languages"])


def _town(country: Country, *key: object) -> str:
    """A town of the country: its capital, or now and then another one that names.json has."""
    away: list[str] = read_json("names.json")["towns"].get(country.name, [])
    return pick([spoken(country.capital), *away], *key)


def _people(turn: int) -> tuple[str, str]:
    """Two people; of some the sentence tells the first name or the surname only."""
    names = []
    for person in range(2):
        first, surname = (_part_of_a_name(kind, turn, person) for kind in ("first_name", "surname"))
        names.append(pick((f"{first} {surname}", f"{first} {surname}", first, surname), "form", turn, person))
    return names[0], names[1]


def _part_of_a_name(kind: str, *key: object) -> str:
    """One from the list, or one that is put together."""
    made = read_json("names.json")
    listed: str = pick(made[f"{kind}s"], kind, *key)
    return pick((listed, _joined(made[f"{kind}_parts"], kind, *key)), "listed", kind, *key)


def _organisations(turn: int, country: Country) -> tuple[str, str]:
    """Two organisations: from the list, put together, or called after a city."""
    made = read_json("names.json")
    kinds = [pick(made["organisation_kinds"], "kind", turn, one) for one in range(4)]
    listed, listed2 = (pick(made["organisations"], "organisation", turn, one) for one in range(2))
    named, named2 = (f"{pick(made['organisation_names'], 'name', turn, kind)} {kind}" for kind in kinds[:2])
    joined, joined2 = (f"{_joined(made['organisation_parts'], turn, kind)} {kind}" for kind in kinds[2:])
    local = f"{spoken(country.capital)} {pick(made['city_organisations'], 'local', turn)}"
    return pick((local, listed, named, joined, joined), "form", turn), pick((listed2, named2, joined2), "form2", turn)


def _joined(parts: list[list[str]], *key: object) -> str:
    """A name that hardly stands twice, so that a model learns how names look, not only which there are."""
    return "".join(pick(part, place, *key) for place, part in enumerate(parts))
