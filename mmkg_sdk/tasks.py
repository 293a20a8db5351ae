"""The tasks, by name. A family's configuration says which one a model does, and that decides what opens its bundle.

Each has one module in evaluation/ (its published protocol), one in export/ (what its bundle holds, and parity), and
one runtime class.
"""

from __future__ import annotations

import importlib
from types import ModuleType

LINK_PREDICTION = "link-prediction"
ENTITY_LINKING = "entity-linking"
RELATION_EXTRACTION = "relation-extraction"
ENTITY_RECOGNITION = "entity-recognition"

# Task -> module and class that answer from a bundle.
RUNTIMES = {
    LINK_PREDICTION: ("model", "Model"),
    ENTITY_LINKING: ("linker", "Linker"),
    RELATION_EXTRACTION: ("extractor", "Extractor"),
    ENTITY_RECOGNITION: ("tagger", "Tagger"),
}


def runtime_class(task: str) -> type:
    """The class that answers from a bundle of this task."""
    module, name = RUNTIMES[task]
    found: type = getattr(importlib.import_module(f".{module}", __package__), name)
    return found


def task_module(package: str, task: str) -> ModuleType:
    """The module of a task in "evaluation" or "export"."""
    return importlib.import_module(f".{package}.{task.replace('-', '_')}", __package__)
