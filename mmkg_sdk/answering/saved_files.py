"""The files that a saved bundle has from the one that was opened: all of them, or all but what entities change."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from ..bundle import MANIFEST, Bundle
from ..bundle.contents import PROBES
from ..bundle.manifest import write_json

PARITY, CARD = "parity.json", "MODEL_CARD.md"


def write_as_it_was(bundle: Bundle, folder: Path) -> None:
    """The same bundle, verified."""
    for name, content in bundle.files.items():
        (folder / name).write_bytes(content)
    write_json(folder / MANIFEST, bundle.manifest)
    Bundle.open(folder, hash_always=True)


def write_others(bundle: Bundle, folder: Path, counts: Mapping[str, int], chapter: str) -> None:
    """All files that are not in the folder yet, but for probes.safetensors; parity.json and the card say what changed.

    Args:
        counts: what parity.json says of it.
        chapter: what the card says of it at its end, beginning with its head; one of an earlier time gives way.
    """
    for name, content in bundle.files.items():
        if not (folder / name).exists() and name not in (PROBES, PARITY, CARD):
            (folder / name).write_bytes(content)
    parity = json.loads(bytes(bundle.files[PARITY]))
    write_json(folder / PARITY, {**parity, **counts})
    head = chapter[: chapter.index("\n", 1) + 1]  # of one line, with the empty one before it
    card = str(bundle.files[CARD], "utf-8").partition(head)[0]
    (folder / CARD).write_text(card + chapter, encoding="utf-8")
