"""Entity linking on the atlas: what "Georgia", "Congo" or "the peso" means is for the rest of the sentence to say.

Candidates are the entities of the atlas and some namesakes from ambiguous.json (a state, a river, a town). Sentences
come from the hand-written page in ambiguous.json and from templates that name other facts about the entity; of those,
only facts that no namesake shares. In a few the words decide nothing and the flag has to.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from .chance import number, ordered, pick, split_of
from .facts import CONTINENTS, Country, countries, other_descriptions
from .flags import flag_countries
from .graph import atlas_descriptions
from .wording import (
    aliases,
    contains,
    country_of,
    demonym,
    fill,
    has_own_name,
    read_json,
    short_currency,
    slots,
    spoken,
    values,
)

# The Holy See lies in a city that is all of its country: nobody can tell the two apart.
_NO_CANDIDATE = ("Vatican (city)",)
# Borders that are closed or at war: no sentence lets anybody cross them on holiday.
_CLOSED = (
    {"Algeria", "Morocco"},
    {"Armenia", "Azerbaijan"},
    {"Armenia", "Turkey"},
    {"Belarus", "Ukraine"},
    {"Israel", "Lebanon"},
    {"Israel", "Palestine"},
    {"Israel", "Syria"},
    {"North Korea", "South Korea"},
    {"Russia", "Ukraine"},
)
_CLUES = ("capital", "neighbour", "currency", "language", "continent")


@dataclass(frozen=True)
class Candidate:
    """An entity that a mention may mean; `flag` is the country whose flag is its image."""

    label: str
    name: str
    text: str
    flag: str | None


@dataclass(frozen=True)
class Mention:
    """A mention, its sentence, the label that it means, and the country whose flag is its image."""

    text: str
    sentence: str
    entity: str
    flag: str | None

    @property
    def split(self) -> str:
        """By the sentence, so that no sentence is in two splits."""
        return split_of("mentions", self.sentence)


@cache
def candidates() -> tuple[Candidate, ...]:
    """All candidates: those of the atlas in its order, then the namesakes."""
    sentences = atlas_descriptions()
    known = [
        Candidate(label, label.removesuffix(" (city)"), f"{_kind(label)} {sentence}", _flag(label))
        for label, sentence in sentences.items()
        if label not in _NO_CANDIDATE
    ]
    namesakes = read_json("ambiguous.json")["entities"]
    return (*known, *(Candidate(label, made["name"], made["text"], None) for label, made in namesakes.items()))


@cache
def mentions() -> tuple[Mention, ...]:
    """All mentions, in an order of chance; none stands twice."""
    made = [*_written(), *_of_countries(), *_of_capitals(), *_of_currencies(), *_of_languages(), *_of_continents()]
    # Where the page and a template say the same, the page stays; else the flag would decide what the words already do.
    plain = {(one.text, one.sentence, one.entity) for one in _written() if one.flag is None}
    found = [one for one in made if one.flag is None or (one.text, one.sentence, one.entity) not in plain]
    return tuple(ordered(dict.fromkeys(found), "mentions"))


def _kind(label: str) -> str:
    """What an entity is and the facts that tell namesakes apart, in few words: models cut texts off."""
    country = _countries().get(label)
    if country:
        borders = f", next to {', '.join(country.neighbour[:4])}" if country.neighbour else ""
        return f"Country in {country.continent} with {spoken(country.capital)}{borders}."
    if label in CONTINENTS:
        return "Continent."
    kinds = other_descriptions()
    if label in kinds["capitals"]:
        return f"Capital in {country_of(label).continent}."
    relation, word = ("currency", "Money") if label in kinds["currencies"] else ("language", "Language")
    users = [f"{country.name} with {spoken(country.capital)}" for country in _users(relation)[label][:3]]
    return f"{word} of {', '.join(users)}."


@cache
def _countries() -> dict[str, Country]:
    return {country.name: country for country in countries()}


@cache
def _users(relation: str) -> dict[str, list[Country]]:
    """Currency or language -> the countries that have it."""
    users = defaultdict(list)
    for country in countries():
        for label in values(country, relation):
            users[label].append(country)
    return users


def _flag(country: str) -> str | None:
    return country if country in flag_countries() else None


def _some_flag(country: Country, *key: object) -> str | None:
    """The flag for every fourth mention."""
    return _flag(country.name) if number("flag", *key) % 4 == 0 else None


def _written() -> Iterator[Mention]:
    for label, pages in read_json("ambiguous.json")["sentences"].items():
        country = _countries().get(label)
        for text, sentences in pages.items():
            for sentence in sentences:
                yield Mention(text, sentence, label, _some_flag(country, sentence) if country else None)


def _of_countries() -> Iterator[Mention]:
    names = {country.name: [country.name, *aliases(country.name)] for country in countries()}
    adjectives = {country.name: [demonym(country.name)] for country in countries()}
    for country in countries():
        for kind, spelled, count in (("country", names, 4), ("demonym", adjectives, 2)):
            for text in spelled[country.name]:
                rivals = [other for other in countries() if other != country and text in spelled[other.name]]
                some = 8 if rivals else 2 if text in aliases(country.name) else count
                yield from _made(kind, text, country.name, country, rivals, some)
                if kind == "country" and rivals and _flag(country.name):
                    for template in ordered(_templates("picture_country"), text, country.name)[:3]:
                        yield Mention(text, fill(template, {"country": text}).text, country.name, country.name)


def _of_capitals() -> Iterator[Mention]:
    for country in countries():
        if has_own_name(country.capital):
            yield from _made("capital", country.capital, country.capital, country, [], 3)
            for text in aliases(country.capital):
                yield from _made("capital", text, country.capital, country, [], 2)


def _of_currencies() -> Iterator[Mention]:
    for label, users in _users("currency").items():
        short = short_currency(label)
        for country in users:
            others = [other for other in country.currency if other != label]
            yield from _made("currency", spoken(label), label, country, [], 1)
            if short != spoken(label) and short not in map(short_currency, others):
                yield from _made("currency", short, label, country, [], 3)
        namesakes = [other for other in _users("currency") if other != label and short_currency(other) == short]
        if namesakes and len(users) == 1 and _flag(users[0].name):
            sentence = fill(pick(_templates("picture_currency"), label), {"currency": short}).text
            yield Mention(short, sentence, label, users[0].name)


def _of_languages() -> Iterator[Mention]:
    for label, users in _users("language").items():
        for text in (label, *aliases(label)):
            rivals = [other for other in _users("language") if other != label and text in aliases(other)]
            clear = [country for country in users if not set(country.language) & set(rivals)]
            # Hardly anybody speaks Latin in the street; the hand-written page has it.
            homes = [country for country in clear if country.name != "Vatican City"]
            for turn in range(min(max(3, len(homes)), 6) if homes else 0):
                yield from _made("language", text, label, homes[turn % len(homes)], [], 1, turn)


def _of_continents() -> Iterator[Mention]:
    for continent in CONTINENTS:
        members = [country for country in countries() if country.continent == continent]
        for template in _templates("continent"):
            country, other = ordered(members, continent, template)[:2]
            made = _sentence(template, "continent", continent, country, [], other=other.name)
            if made:
                yield Mention(continent, made, continent, None)


def _made(
    kind: str, text: str, label: str, country: Country, rivals: list[Country], count: int, turn: int = 0
) -> Iterator[Mention]:
    """`count` mentions from templates of one kind, with facts about `country` that hold for no rival."""
    for template in ordered(_templates(kind), label, text, country.name, turn):
        if count == 0:
            break
        sentence = _sentence(template, kind, text, country, rivals)
        if sentence:
            count -= 1
            yield Mention(text, sentence, label, None if kind == "language" else _some_flag(country, label, sentence))


def _sentence(template: str, kind: str, text: str, country: Country, rivals: list[Country], **names: str) -> str | None:
    """The template with the mention in its place, or None if no fact fits a slot or the mention stood there twice."""
    names |= {"country": country.name, kind: text}
    for slot in slots(template):
        if slot in _CLUES and slot != kind:
            shared = {value for rival in rivals for value in values(rival, slot)}
            free = [value for value in values(country, slot) if value not in shared]
            free = [value for value in free if {country.name, value} not in _CLOSED]
            if not free:
                return None
            names[slot] = spoken(pick(free, template, text, country.name, slot))
    sentence = fill(template, names).text
    return sentence if contains(sentence, text) == 1 else None


def _templates(kind: str) -> list[str]:
    found: list[str] = read_json("templates.json")["mentions"][kind]
    return found
