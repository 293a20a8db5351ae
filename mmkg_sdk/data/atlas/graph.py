"""The atlas as a knowledge graph, with a split that neither hides an entity nor leaks an inverse."""

from __future__ import annotations

import hashlib
from collections import Counter
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from ...files.labels import Labels
from ..graph import KnowledgeGraph
from .facts import countries, other_descriptions

RELATIONS = ("capital", "continent", "currency", "language", "neighbour")
HELD_OUT = 0.1  # share of the triples in valid, and again in test
SEED = "atlas"

Triple = tuple[str, str, str]


def atlas_graph() -> KnowledgeGraph:
    """The embedded data set: countries, capitals, continents, currencies and languages, split 80/10/10.

    `neighbour` is listed in both directions, which always share a split; every entity and relation of valid
    and test also occurs in train. The same split comes out on every machine.
    """
    entities = Labels(atlas_descriptions())
    relations = Labels(RELATIONS, kind="relation")

    def as_ids(triples: list[Triple]) -> NDArray[np.int64]:
        rows = [(entities.find(h), relations.find(r), entities.find(t)) for h, r, t in triples]
        return np.array(rows, dtype=np.int64)

    train, valid, test = _split(_triples())
    return KnowledgeGraph("atlas", entities, relations, as_ids(train), as_ids(valid), as_ids(test))


def atlas_descriptions() -> dict[str, str]:
    """Entity label -> one sentence, in the order of the entities; there is one for every entity."""
    sentences = {country.name: country.description for country in countries()}
    for kind in other_descriptions().values():
        sentences |= kind
    return sentences


def _triples() -> list[Triple]:
    """All facts, country by country. The continent is said of the capital too: with a single fact, no capital
    could ever be held out, because train has to know every entity."""
    found: list[Triple] = []
    for country in countries():
        found.append((country.name, "capital", country.capital))
        found.append((country.name, "continent", country.continent))
        found.append((country.capital, "continent", country.continent))
        for relation in ("currency", "language", "neighbour"):
            found += [(country.name, relation, tail) for tail in getattr(country, relation)]
    return found


def _split(triples: list[Triple]) -> tuple[list[Triple], list[Triple], list[Triple]]:
    """Train, valid, test. Facts are drawn in the order of their hash, so that a new fact moves few others."""
    groups: dict[Triple, list[Triple]] = {}
    for triple in triples:
        groups.setdefault(_fact(triple), []).append(triple)
    drawn = sorted(groups, key=lambda fact: hashlib.sha256("\t".join((SEED, *fact)).encode()).digest())

    quota = round(HELD_OUT * len(triples))
    uses = Counter(chain.from_iterable((head, tail) for head, _, tail in triples))
    held_out: dict[str, list[Triple]] = {"test": [], "valid": []}
    for fact in drawn:
        group = groups[fact]
        name = "test" if len(held_out["test"]) < quota else "valid"
        if len(held_out[name]) >= quota:
            break
        here = Counter(chain.from_iterable((head, tail) for head, _, tail in group))
        if all(uses[entity] > count for entity, count in here.items()):
            uses -= here
            held_out[name] += group
    away = set(held_out["valid"] + held_out["test"])
    return [triple for triple in triples if triple not in away], held_out["valid"], held_out["test"]


def _fact(triple: Triple) -> Triple:
    """What a triple says, in one spelling: both directions of a border are the same fact."""
    head, relation, tail = triple
    return (min(head, tail), relation, max(head, tail)) if relation == "neighbour" else triple
