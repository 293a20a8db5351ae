"""The embedded data set: countries of the world with facts, sentences and flags, written for this package.

Countries are the 193 members of the United Nations and its two observer states, as of the start of 2026.
Continents follow the geographical regions of the United Nations, so Cyprus and Georgia are in Asia. Where a
country has several seats of government, `capital` is one of them: the one that its law names, or the seat of
the executive. `language` lists official and main languages, a few for each country. `neighbour` is a land
border (lakes and rivers count) of the state itself, exclaves and overseas departments included; borders of
territories that are no entity here are left out.

The sentence of a capital usually names its country, so text helps to answer. Most countries have a flag and
nothing else has, so models meet missing images.

`sentences` (imported on its own) writes the data of the sentence tasks, made of the same facts: mentions to link,
relations between two spans, and tagged words.
"""

from __future__ import annotations

from .facts import CONTINENTS, Country, countries
from .flags import draw_flag, flag_countries
from .folder import write_atlas
from .graph import atlas_descriptions, atlas_graph

__all__ = [
    "CONTINENTS",
    "Country",
    "atlas_descriptions",
    "atlas_graph",
    "countries",
    "draw_flag",
    "flag_countries",
    "write_atlas",
]
