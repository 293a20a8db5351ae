"""Sentences with a relation between two of their spans, from the facts of the atlas.

The head of a fact is a country, whichever of the two stands first. A fact is asserted in one split only. Sentences for
`none` say nothing about their two spans, or deny it; there is no fact about them either. Many of those sentences state
facts about other spans, so that the words alone do not give the class away.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import permutations

from .chance import number, ordered, pick, split_of
from .facts import CONTINENTS, Country, countries, other_descriptions
from .flags import flag_countries
from .graph import RELATIONS
from .wording import (
    Sentence,
    Span,
    common_words,
    country_of,
    fill,
    has_own_name,
    read_json,
    short_currency,
    slots,
    split_words,
    spoken,
    values,
)

NONE = "none"
SENTENCES = 700  # for each relation
UNRELATED = 900  # sentences for `none` besides those whose words also state facts
# Which of the two is the capital of the one country or of the other is disputed: no sentence says it or denies it.
_DISPUTED = ("Jerusalem", "Ramallah")
# States with land far away, some of it with borders that the atlas leaves out: no sentence says whom they do not touch.
_SCATTERED = ("Denmark", "France", "Netherlands", "Spain", "United Kingdom", "United States")
_PLACES = ("country", "other", "neighbour", "other_neighbour")

Labels = dict[str, str]


@dataclass(frozen=True)
class Relation:
    """A sentence with two marked spans of words; `flag` is the country whose flag is its image.

    `head_label` and `tail_label` are the entities that the spans name; the spans may say "peso" for "Cuban peso".
    """

    words: tuple[str, ...]
    head: Span
    tail: Span
    relation: str
    split: str
    flag: str | None
    head_label: str
    tail_label: str


@cache
def relations() -> tuple[Relation, ...]:
    """All sentences, in an order of chance. No sentence is in two splits, and no fact is asserted in two."""
    found: dict[tuple[object, ...], Relation] = {}
    splits: dict[tuple[str, ...], str] = {}
    for made in (*_stated(), *_unrelated()):
        if splits.setdefault(made.words, made.split) == made.split:
            found.setdefault((made.words, made.head, made.tail), made)
    return tuple(ordered(found.values(), "relations"))


def related(first: str, second: str) -> bool:
    """Whether the atlas has a fact about the two, or one that the short name of a currency would express."""
    return second in _tails(first) or first in _tails(second)


@cache
def _tails(label: str) -> frozenset[str]:
    """What the atlas says about an entity, currencies with all their namesakes."""
    capitals = other_descriptions()["capitals"]
    if label in capitals:
        return frozenset((country_of(label).continent,))
    country = next((country for country in countries() if country.name == label), None)
    if country is None:
        return frozenset()
    money = {short_currency(currency) for currency in country.currency}
    namesakes = (currency for currency in other_descriptions()["currencies"] if short_currency(currency) in money)
    return frozenset((*(tail for relation in RELATIONS for tail in values(country, relation)), *namesakes))


def _facts(relation: str) -> list[tuple[Country, str]]:
    """Country and tail of every fact that sentences may assert; a border once, from a side by chance."""
    found = []
    for country in countries():
        for tail in values(country, relation):
            sides = sorted((country.name, tail))
            if _may_say(relation, tail) and (relation != "neighbour" or country.name == pick(sides, "side", *sides)):
                found.append((country, tail))
    return found


def _stated() -> Iterator[Relation]:
    templates = read_json("templates.json")["relations"]
    for relation in RELATIONS:
        facts = _facts(relation)
        again = ordered(facts, "again", relation)[: max(0, SENTENCES - len(facts))]
        for turn, (country, tail) in [(0, fact) for fact in facts] + [(1, fact) for fact in again]:
            key = (relation, country.name, tail, turn)
            mixed = [text for text in templates["mixed"] if relation in slots(text)]
            template = pick(mixed if number("mixed", *key) % 3 == 0 else templates["single"][relation], *key)
            labels = _label_slots(template, country, {relation: tail}, key)
            if labels is None:
                continue
            sentence = fill(template, common_words(template, *key) | _spell(labels, key))
            split = split_of("fact", relation, country.name, tail)
            yield _marked(sentence, labels, "country", relation, relation, split)
            apart = [pair for pair in permutations(labels, 2) if _apart(pair, labels)]
            if apart:
                yield _marked(sentence, labels, *_heading(pick(apart, "apart", *key)), NONE, split)


def _label_slots(template: str, country: Country, labels: Labels, key: tuple[object, ...]) -> Labels | None:
    """Labels for all slots; the second country and what is said about it are unrelated to the rest."""
    labels = {"country": country.name} | labels
    wanted = _label_names(template)
    for slot in wanted:
        if slot not in labels and not slot.startswith("other"):
            options = [tail for tail in values(country, slot) if _may_say(slot, tail)]
            if not options:
                return None
            labels[slot] = pick(options, slot, *key)
    if "other" not in wanted:
        return labels
    for other in ordered(countries(), "other", *key):
        second = {"other": other.name}
        for slot in wanted:
            if slot.startswith("other_"):
                relation = slot.removeprefix("other_")
                options = [tail for tail in values(other, relation) if _may_say(relation, tail)]
                second |= {slot: pick(options, slot, *key)} if options else {}
        complete = len(second) == sum(slot.startswith("other") for slot in wanted)
        if complete and all(a != b and not related(a, b) for a in labels.values() for b in second.values()):
            return labels | second
    return None


def _label_names(template: str) -> list[str]:
    """The slots that stand for entities, not for common words."""
    common = common_words(template)
    return [slot for slot in slots(template) if slot not in common]


def _may_say(relation: str, tail: str) -> bool:
    """Whether sentences may assert or deny a fact with this tail."""
    return relation != "capital" or (has_own_name(tail) and tail not in _DISPUTED)


def _spell(labels: Labels, key: tuple[object, ...]) -> dict[str, str]:
    """The names of all slots; every third currency by its short name."""
    names = {slot: spoken(label) for slot, label in labels.items()}
    for slot, label in labels.items():
        if slot.endswith("currency") and number("short", slot, *key) % 3 == 0:
            names[slot] = short_currency(label)
    return names


def _apart(pair: tuple[str, str], labels: Labels) -> bool:
    """Whether two slots have nothing to do with each other, not even by way of the country between them."""
    first, second = pair
    if related(labels[first], labels[second]):
        return False
    same_owner = first.startswith("other") == second.startswith("other")
    return not same_owner or "neighbour" in (first, second) or "other_neighbour" in (first, second)


def _heading(pair: tuple[str, str]) -> tuple[str, str]:
    """The pair with a country as its head where just one of the two is a country, as in every fact."""
    first, second = pair
    return (second, first) if second in _PLACES and first not in _PLACES else pair


def _unrelated() -> Iterator[Relation]:
    templates = read_json("templates.json")["relations"]["none"]
    pools = _pools()
    for turn in range(UNRELATED):
        template = templates[turn % len(templates)]
        wanted = _label_names(template)
        labels: Labels = {}
        attempt = 0
        while not labels or not _strangers(labels):
            labels = {slot: pick(pools[slot.removeprefix("other_")], turn, slot, attempt) for slot in wanted}
            attempt += 1
        sentence = fill(template, common_words(template, turn) | _spell(labels, (turn,)))
        pair = pick(list(permutations(labels, 2)), "pair", turn)
        yield _marked(sentence, labels, *_heading(pair), NONE, split_of("none", sentence.text))


def _pools() -> dict[str, list[str]]:
    names = [country.name for country in countries()]
    kinds = other_descriptions()
    cities = [capital for capital in kinds["capitals"] if _may_say("capital", capital)]
    return {
        "country": names,
        "other": names,
        "city": cities,
        "continent": list(CONTINENTS),
        "currency": list(kinds["currencies"]),
        "language": list(kinds["languages"]),
    }


def _strangers(labels: Labels) -> bool:
    """Whether no two labels are related; countries also lie on different continents and have no land elsewhere."""
    for (first, one), (second, two) in permutations(labels.items(), 2):
        if one == two or related(one, two):
            return False
        if not {first, second} <= {*_PLACES}:
            continue
        if one in _SCATTERED or country_of(one).continent == country_of(two).continent:
            return False
    return True


def _marked(sentence: Sentence, labels: Labels, head: str, tail: str, relation: str, split: str) -> Relation:
    words, spans = split_words(sentence)
    flags = [labels[slot] for slot in (head, tail) if slot in _PLACES and labels[slot] in flag_countries()]
    shown = flags[0] if flags and number("flag", sentence.text) % 5 == 0 else None
    return Relation(tuple(words), spans[head], spans[tail], relation, split, shown, labels[head], labels[tail])
