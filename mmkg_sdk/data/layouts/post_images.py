"""Images of posts: the whole one and crops of it, found by the dictionaries of the public data sets.

The image folders are known by their name: one with "aux" in it or "vg" at its end holds the crops of visual
grounding, one with "rcnn" or "detect" those of a detector, one with "org" in it, or called `images` or `*_images`, the
whole images. Files may lie deeper, in a folder per split. The dictionaries lie beside the text files or the images:

* `*{split}_dict.pth`: line number from 0, or file name of the image -> names of crops of visual grounding.
* `{split}_img2crop.pth` or one `*img2crop.pth`: name of the image without its ending -> paths of crops of a detector.

Models read the first three of each; an image that is not there is no image. Dictionaries are read only where there
are crops, without running code in them (torch is needed for that).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...errors import DataError, missing_package
from ..sentences import SentenceImages

CROPS = 3
_SPLIT_NAMES = {"train": ("train",), "valid": ("val", "valid", "dev"), "test": ("test",)}
_Files = Mapping[str, Path]
_Crops = Mapping[int | str, tuple[str, ...]]


@dataclass(frozen=True)
class PostImages:
    """The images of one split, by file name, and what is known about their crops."""

    main: _Files = field(default_factory=dict)
    aux: _Files = field(default_factory=dict)
    rcnn: _Files = field(default_factory=dict)
    aux_names: _Crops = field(default_factory=dict)
    rcnn_names: _Crops = field(default_factory=dict)

    def of_line(self, line: int, image: str) -> SentenceImages:
        """The images of the sentence in a line (from 0) whose post has this image."""
        return self._found(line, image)

    def of_image(self, image: str) -> SentenceImages:
        """The images of a post by the file name of the whole one."""
        return self._found(image, image)

    def _found(self, aux_key: int | str, image: str) -> SentenceImages:
        crops = (
            tuple(files[name] for name in names.get(key, ())[:CROPS] if name in files)
            for files, names, key in (
                (self.aux, self.aux_names, aux_key),
                (self.rcnn, self.rcnn_names, image.rsplit(".", 1)[0]),
            )
        )
        return SentenceImages(self.main.get(image), *crops)


def find_post_images(image_folder: Path, texts: Path, split: str) -> PostImages:
    """The images of one split below a folder; every field is empty where there is nothing.

    Args:
        image_folder: the folder with the image folders.
        texts: the folder with the text files, where the dictionaries are looked for first.
        split: "train", "valid" or "test".

    Raises:
        DataError: if a name stands for several files, or a dictionary is malformed.
    """
    folders: dict[str, Path] = {}
    for folder in sorted(path for path in image_folder.iterdir() if path.is_dir()):
        kind = _kind(folder.name)
        if kind and folders.setdefault(kind, folder) != folder:
            raise DataError(f"{image_folder} has two folders of {kind} images: {folders[kind].name} and {folder.name}.")
    files = {kind: _list_files(folder, split) for kind, folder in folders.items()}
    places = tuple(dict.fromkeys((texts, image_folder)))
    names = _SPLIT_NAMES[split]
    aux_file = _dictionary(places, [f"{name}_dict.pth" for name in names]) if "aux" in files else None
    rcnn_file = _dictionary(places, [f"{name}_img2crop.pth" for name in names]) if "rcnn" in files else None
    if "rcnn" in files and rcnn_file is None:
        of_a_split = [f"{name}_img2crop.pth" for names in _SPLIT_NAMES.values() for name in names]
        rcnn_file = _dictionary(places, ["img2crop.pth"], but_not=of_a_split)
    return PostImages(
        files.get("main", {}),
        files.get("aux", {}),
        files.get("rcnn", {}),
        _read_crops(aux_file) if aux_file else {},
        _read_crops(rcnn_file) if rcnn_file else {},
    )


def _kind(folder: str) -> str | None:
    name = folder.lower()
    if "aux" in name or name.endswith("vg"):
        return "aux"
    if "rcnn" in name or "detect" in name:
        return "rcnn"
    return "main" if "org" in name or name == "images" or name.endswith("_images") else None


def _list_files(folder: Path, split: str) -> dict[str, Path]:
    """File name -> path of everything below a folder; parts of other splits are left out.

    Names that stand in data files are looked up here and never joined to a path, so none can leave the folder.
    """
    others = {name for other, names in _SPLIT_NAMES.items() if other != split for name in names}
    found: dict[str, Path] = {}
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in others)
        for name in sorted(names):
            path = Path(place, name)
            if found.setdefault(name, path) != path:
                raise DataError(f"{folder} has two files {name}: {found[name].parent} and {place}. Keep one.")
    return found


def _dictionary(places: Sequence[Path], endings: Sequence[str], *, but_not: Sequence[str] = ()) -> Path | None:
    files = [path for place in places for path in sorted(place.iterdir())]
    found = [path for path in files if path.name.endswith(tuple(endings)) and not path.name.endswith(tuple(but_not))]
    if len(found) > 1:
        listed = " and ".join(str(path) for path in found)
        raise DataError(f"{listed} are both dictionaries of the same images. Keep one.")
    return found[0] if found else None


def _read_crops(path: Path) -> dict[int | str, tuple[str, ...]]:
    """Key -> file names of crops; of a path only its last part."""
    try:
        import torch
    except ImportError as err:
        raise missing_package("torch", "train", f"reading {path.name}") from err
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as err:  # torch raises many types for a damaged or unsafe file
        first = (str(err).splitlines() or [type(err).__name__])[0]
        raise DataError(f"{path} cannot be loaded as plain lists of names: {first[:200]}") from err
    if not isinstance(content, dict):
        raise DataError(f"{path} holds a {type(content).__name__}; expected a dictionary of lists of names.")
    found: dict[int | str, tuple[str, ...]] = {}
    for key, names in content.items():
        if not isinstance(key, int | str) or not isinstance(names, list) or not all(isinstance(n, str) for n in names):
            raise DataError(f"{path}: {str(key)[:80]!r} has {str(names)[:80]}; expected a list of file names.")
        found[key] = tuple(name.replace("\\", "/").rsplit("/", 1)[-1] for name in names)
    return found
