"""The names that the SDK knows: tasks and model families. Nothing is imported until a part of a family is asked for."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable
from types import ModuleType

from .errors import DataError, unimportable

# A family's configuration says which task a model does. Each task has one file of its name in answering/ (what opens
# a bundle), evaluation/ (its published protocol) and export/ (what its bundle holds, and parity).
LINK_PREDICTION = "link-prediction"
ENTITY_LINKING = "entity-linking"
RELATION_EXTRACTION = "relation-extraction"
ENTITY_RECOGNITION = "entity-recognition"
TASKS = (LINK_PREDICTION, ENTITY_LINKING, RELATION_EXTRACTION, ENTITY_RECOGNITION)

FAMILIES: dict[str, str] = {
    "mygo": "MyGO (Zhang et al., AAAI 2025): tokenised modalities, contextual Tucker scoring",
    "adamf_mat": "AdaMF-MAT (Zhang et al., LREC-COLING 2024): adaptive fusion, rotation, adversarial training",
    "mimic": "MIMIC (Luo et al., KDD 2023): entity linking by text, image and cross-modal units on CLIP",
    "mkgformer": "MKGformer (Chen et al., SIGIR 2022): BERT and a vision tower that see each other in the upper layers",
}

# Modalities of the published models: what users call them -> their name in files and graphs. Further ones have one
# name everywhere.
MODALITIES = {"image": "visual", "text": "text"}
PUBLISHED_MODALITIES = tuple(MODALITIES.values())
_MODALITY = re.compile(r"[a-z][a-z0-9]{0,31}")
# What would be mistaken for another: by users, in the benchmark, and among the names of an official checkpoint.
_TAKEN = {*MODALITIES, *PUBLISHED_MODALITIES, "structure", "pooled", "all", "str", "vis", "txt", "img", "ent", "rel"}


def check_further_modality(name: object) -> str:
    """The name itself, if a modality beyond the published ones can have it.

    Raises:
        DataError: it cannot.
    """
    if not isinstance(name, str) or not _MODALITY.fullmatch(name) or name in _TAKEN:
        raise DataError(
            f"a modality cannot be called {name!r:.80}: expected a small letter, then at most 31 small letters and "
            f"digits, and none of {', '.join(sorted(_TAKEN))}. Choose another name."
        )
    return name


def ordered_modalities(names: Iterable[str]) -> tuple[str, ...]:
    """Modalities in the order of every model: the published ones, then the others by name."""
    given = set(names)
    return (*(name for name in PUBLISHED_MODALITIES if name in given), *sorted(given.difference(PUBLISHED_MODALITIES)))


def said_modality(name: str) -> str:
    """What users call a modality: "image" for visual."""
    return next((said for said, own in MODALITIES.items() if own == name), name)


def family_name(name: str) -> str:
    """The family that a caller means: "adamf-mat", as the paper spells it, is "adamf_mat" here and in files."""
    return check_family(name.replace("-", "_"))


def check_family(name: str) -> str:
    """The name itself, if there is such a family."""
    if name not in FAMILIES:
        raise DataError(f"unknown family {name!r}; this version knows: {', '.join(FAMILIES)}.")
    return name


def family_part(name: str, part: str) -> ModuleType:
    """One file of a family, for example family_part("mygo", "model"); families/contract.py says what is in it.

    Raises:
        BackendError: it needs a package that is not installed.
    """
    try:
        return importlib.import_module(f".families.{check_family(name)}.{part}", __package__)
    except ImportError as err:
        raise unimportable(err, f"{name}'s {part}") or err from err
