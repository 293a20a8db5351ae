"""Labels that differ in what nobody sees."""

from __future__ import annotations

import unicodedata
import warnings
from pathlib import Path

from ..files.labels import Labels

# Pairs that a warning shows.
_SHOWN = 3


def warn_of_lookalikes(labels: Labels, folder: Path) -> None:
    """Warn, once, of labels that look like another one; each is an entity or relation of its own.

    They differ in blanks (no-break ones, several, at the ends), in composed or decomposed accents, or in characters
    without width (byte order marks, joiners).
    """
    first: dict[str, str] = {}
    pairs = [(twin, label) for label in labels if (twin := first.setdefault(_seen(label), label)) != label]
    if not pairs:
        return
    shown = ", ".join(f"{twin!a} and {label!a}" for twin, label in pairs[:_SHOWN])
    more = ", ..." if len(pairs) > _SHOWN else ""
    warnings.warn(
        f"{folder}: {len(pairs):,} of {len(labels):,} {labels.kind} labels look like an earlier one and are "
        f"taken for another {labels.kind}: {shown}{more}. Spell them alike in the data if they are the same.",
        stacklevel=2,
    )


def _seen(label: str) -> str:
    """The label as a reader sees it."""
    if not label.isascii():
        # Cf: format characters, which have no width.
        composed = unicodedata.normalize("NFC", label)
        label = "".join(char for char in composed if unicodedata.category(char) != "Cf")
    return " ".join(label.split())
