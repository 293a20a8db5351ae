"""The model families, by name. A family is a folder with the same seven files; nothing is imported until asked for.

config      what one model is: sizes and settings, and the published presets
model       the torch module, as in the paper
objective   the training loss, as in the paper
checkpoint  the official checkpoint, read into our run
inputs      from a data set to what a run holds: labels, arrays, files
graphs      the modules that are exported: same numbers, less work
runtime     what answering from a bundle needs to know of the family, without torch

What families share lies beside them: config.py, official.py, exported.py, link_prediction.py.
"""

from __future__ import annotations

import importlib
from types import ModuleType

from ..errors import DataError

FAMILIES: dict[str, str] = {
    "mygo": "MyGO (Zhang et al., AAAI 2025): tokenised modalities, contextual Tucker scoring",
    "adamf_mat": "AdaMF-MAT (Zhang et al., LREC-COLING 2024): adaptive fusion, rotation, adversarial training",
    "mimic": "MIMIC (Luo et al., KDD 2023): entity linking by text, image and cross-modal units on CLIP",
    "mkgformer": "MKGformer (Chen et al., SIGIR 2022): BERT and a vision tower that see each other in the upper layers",
}


def check_family(name: str) -> str:
    """The name itself, if there is such a family."""
    if name not in FAMILIES:
        raise DataError(f"unknown family {name!r}; this version knows: {', '.join(FAMILIES)}.")
    return name


def family_part(name: str, part: str) -> ModuleType:
    """One file of a family, for example family_part("mygo", "model")."""
    return importlib.import_module(f".{check_family(name)}.{part}", __name__)
