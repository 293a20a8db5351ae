"""Where the tokens and features of a data set lie: in its folder, or in one that several data sets share.

The authors keep triples in one folder and features or tokens of all data sets in another: `benchmarks/DB15K` and
`embeddings/DB15K-visual.pth` (AdaMF-MAT), `data/DB15K` and `tokens/DB15K-visual.json` (MyGO).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..files.listing import list_files

_SHARED = ("embeddings", "features", "tokens")


@dataclass(frozen=True)
class Place:
    """A folder, and what the names of a data set's own files begin with there ("" where all are its own)."""

    folder: Path
    prefix: str = ""

    def files(self) -> list[Path]:
        """The data set's files, by name."""
        return [path for path in list_files(self.folder) if self.owns(path)]

    def owns(self, path: Path) -> bool:
        """Whether a file here is the data set's, not another's."""
        name, prefix = path.name.casefold(), self.prefix.casefold()
        return not prefix or name.startswith((f"{prefix}-", f"{prefix}_", f"{prefix}."))


def places_of(folder: Path) -> list[Place]:
    """The data set's folder, then the folders for tokens and features in it, beside it and one level up."""
    whole = folder.resolve()
    inside = [Place(folder / name) for name in _SHARED]
    shared = [Place(base / name, whole.name) for base in whole.parents[:2] for name in _SHARED]
    return [Place(folder)] + [one for one in inside + shared if one.folder.is_dir() and one.folder.resolve() != whole]
