"""Data sets: reading public layouts, tokenising texts and images, fetching.

    from mmkg_sdk.data import open_dataset
    dataset = open_dataset("atlas")        # the embedded data set, or a folder, or a fetched name
    dataset.graph.entities[0]

The functions are imported when they are first used; this module itself loads numpy and nothing heavier.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .graph import DataSet, KnowledgeGraph

if TYPE_CHECKING:
    from .open import open_dataset
    from .readers import read_dataset
    from .registry import fetch
    from .tokenize import tokenize_dataset
    from .write import write_dataset

_MODULES = {
    "fetch": "registry",
    "open_dataset": "open",
    "read_dataset": "readers",
    "tokenize_dataset": "tokenize",
    "write_dataset": "write",
}

__all__ = [
    "DataSet",
    "KnowledgeGraph",
    "fetch",
    "open_dataset",
    "read_dataset",
    "tokenize_dataset",
    "write_dataset",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_MODULES[name]}", __name__), name)
