"""The names that the SDK knows: tasks and model families. Nothing is imported until a part of a family is asked for."""

from __future__ import annotations

import importlib
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
