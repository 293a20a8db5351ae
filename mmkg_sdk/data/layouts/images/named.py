"""Images that data files name: looked up below a folder, and counted where they are not there."""

from __future__ import annotations

import unicodedata
import warnings
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from ....errors import DataError
from ...images.files import SUFFIXES

# Names that a warning shows.
_SHOWN = 2


class NamedImages:
    """The images of one place by the names that data files give them.

    Names are looked up here and never joined to a path, so none can leave the folder. Another suffix of an image
    will do where the named one is not there.
    """

    def __init__(self, place: Path, files: Iterable[Path] = (), *, lacks: str = "") -> None:
        """
        Args:
            place: where the images lie, for messages.
            files: the files there, from every depth.
            lacks: the folder that was to be there and is not, for messages.
        """
        self.place = place
        self.lacks = lacks
        self.asked: dict[str, bool] = {}
        self._by_name: dict[str, list[Path]] = defaultdict(list)
        self._by_stem: dict[str, list[Path]] = defaultdict(list)
        for path in files:
            name = _composed(path.name)
            self._by_name[name].append(path)
            if path.suffix.lower() in SUFFIXES:
                self._by_stem[_stem(name)].append(path)

    def find(self, *names: str) -> Path | None:
        """The image that the first of these names leads to; an empty name is none. Of a path its last part counts.

        Raises:
            DataError: a name leads to several files.
        """
        last = [_composed(name.replace("\\", "/").rsplit("/", 1)[-1]) for name in names if name]
        if not last:
            return None
        exact = (self._by_name.get(name) for name in last)
        alike = (self._by_stem.get(_stem(name)) for name in last)
        found = next((files for files in (*exact, *alike) if files), [])
        if len(found) > 1:
            listed = " and ".join(str(path.relative_to(self.place)) for path in found[:2])
            raise DataError(f"{self.place} has several files for {last[0]!r}: {listed}. Keep one.")
        self.asked[last[0]] = bool(found)
        return found[0] if found else None


def warn_of_missing(lookups: Iterable[NamedImages]) -> None:
    """One warning for each place that lacks images that were asked for."""
    asked: dict[tuple[Path, str], dict[str, bool]] = {}
    for lookup in lookups:
        names = asked.setdefault((lookup.place, lookup.lacks), {})
        # A name of several splits counts once, and is found if each of them finds it.
        names.update((name, found and names.get(name, True)) for name, found in lookup.asked.items())
    for (place, lacks), names in asked.items():
        missing = [name for name, found in names.items() if not found]
        if not missing:
            continue
        shown = ", ".join(map(repr, missing[:_SHOWN])) + (", ..." if len(missing) > _SHOWN else "")
        looked = lacks or f"{shown}, with any suffix of an image, in sub-folders too"
        warnings.warn(
            f"{len(names) - len(missing):,} of {len(names):,} named images found in {place}; looked for {looked}.",
            stacklevel=2,
        )


def _composed(name: str) -> str:
    """Some file systems decompose accents in names."""
    return unicodedata.normalize("NFC", name)


def _stem(name: str) -> str:
    """The name without the suffix of an image; what follows another dot belongs to it."""
    path = PurePosixPath(name)
    return path.stem if path.suffix.lower() in SUFFIXES else name
