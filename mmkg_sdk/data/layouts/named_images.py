"""Images that data files name: looked up below a folder, and counted where they are not there."""

from __future__ import annotations

import unicodedata
import warnings
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from ...errors import DataError
from ..image_files import SUFFIXES

# Names that a warning shows.
_SHOWN = 2


class NamedImages:
    """The images of one place by the names that data files give them.

    Names are looked up here and never joined to a path, so none can leave the folder. Another suffix of an image
    will do where the named one is not there.
    """

    def __init__(self, place: Path, files: Iterable[Path] | None, *, folders: str = "") -> None:
        """
        Args:
            place: where the images lie, for messages.
            files: the files there, from every depth; None: there is no such folder.
            folders: what a folder of such images is called, for messages.

        Raises:
            DataError: two files have the same name.
        """
        self.place = place
        self.folders = "" if files is not None else folders
        self.asked: dict[str, bool] = {}
        self._files: dict[str, Path] = {}
        self._by_stem: dict[str, Path] = {}
        for path in files or ():
            name = _composed(path.name)
            if self._files.setdefault(name, path) != path:
                raise DataError(
                    f"{place} has two files {name}: {self._files[name].parent} and {path.parent}. Keep one."
                )
            if path.suffix.lower() in SUFFIXES:
                self._by_stem.setdefault(PurePosixPath(name).stem, path)

    def find(self, *names: str) -> Path | None:
        """The image that the first of these names leads to; an empty name is none. Of a path its last part counts."""
        last = [_composed(name.replace("\\", "/").rsplit("/", 1)[-1]) for name in names if name]
        if not last:
            return None
        exact = (self._files.get(name) for name in last)
        alike = (self._by_stem.get(PurePosixPath(name).stem) for name in last)
        found = next((path for path in (*exact, *alike) if path), None)
        self.asked[last[0]] = found is not None
        return found


def warn_of_missing(lookups: Iterable[NamedImages]) -> None:
    """One warning for each place that lacks images that were asked for."""
    asked: dict[tuple[Path, str], dict[str, bool]] = {}
    for lookup in lookups:
        names = asked.setdefault((lookup.place, lookup.folders), {})
        # A name of several splits counts once, and is found if each of them finds it.
        names.update((name, found and names.get(name, True)) for name, found in lookup.asked.items())
    for (place, folders), names in asked.items():
        missing = [name for name, found in names.items() if not found]
        if not missing:
            continue
        shown = ", ".join(map(repr, missing[:_SHOWN])) + (", ..." if len(missing) > _SHOWN else "")
        looked = f"a folder {folders}" if folders else f"{shown}, with any suffix of an image, in sub-folders too"
        warnings.warn(
            f"{len(names) - len(missing):,} of {len(names):,} named images found in {place}; looked for {looked}.",
            stacklevel=2,
        )


def _composed(name: str) -> str:
    """Some file systems decompose accents in names."""
    return unicodedata.normalize("NFC", name)
