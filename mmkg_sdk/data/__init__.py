"""Data sets: reading public layouts, tokenising texts and images, fetching.

    from mmkg_sdk.data import open_dataset
    dataset = open_dataset("atlas")        # the embedded data set, or a folder, or a fetched name
    dataset.graph.entities[0]

`open_data` opens any of the four kinds: DataSet, LinkingData, RelationData, TaggingData.

The functions are imported when they are first used; this module itself loads numpy and nothing heavier.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .graph import DataSet, KnowledgeGraph
from .mentions import LinkingData
from .sentences import RelationData, TaggingData

if TYPE_CHECKING:
    from .layouts.linking import read_linking, write_linking
    from .layouts.sentences import read_relations, read_tagging, write_relations, write_tagging
    from .open import open_data, open_dataset
    from .readers import read_dataset
    from .registry import fetch
    from .tokens.tokenize import tokenize_dataset
    from .write import write_dataset

_MODULES = {
    "fetch": "registry",
    "open_data": "open",
    "open_dataset": "open",
    "read_dataset": "readers",
    "read_linking": "layouts.linking",
    "read_relations": "layouts.sentences",
    "read_tagging": "layouts.sentences",
    "tokenize_dataset": "tokens.tokenize",
    "write_dataset": "write",
    "write_linking": "layouts.linking",
    "write_relations": "layouts.sentences",
    "write_tagging": "layouts.sentences",
}

__all__ = [
    "DataSet",
    "KnowledgeGraph",
    "LinkingData",
    "RelationData",
    "TaggingData",
    "fetch",
    "open_data",
    "open_dataset",
    "read_dataset",
    "read_linking",
    "read_relations",
    "read_tagging",
    "tokenize_dataset",
    "write_dataset",
    "write_linking",
    "write_relations",
    "write_tagging",
]


if not TYPE_CHECKING:  # so that a wrong name is found by type checkers, too

    def __getattr__(name: str) -> Any:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f".{_MODULES[name]}", __name__), name)
