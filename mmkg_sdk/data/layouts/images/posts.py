"""Images of posts: the whole one and crops of it, found by the dictionaries of the public data sets.

The image folders are known by their name: one with "aux" in it or "vg" at its end holds the crops of visual
grounding, one with "rcnn" or "detect" those of a detector, one with "org" in it, or called `images` or `*_images`, the
whole images. Files may lie deeper, in a folder per split. The dictionaries lie beside the text files or the images:

* `*{split}_dict.pth`: line number from 0, or file name of the image -> names of crops of visual grounding.
* `{split}_img2crop.pth` or one `*img2crop.pth`: name of the image without its ending -> paths of crops of a detector.

Models read the first three of each. An image may have another suffix than its name; one that is not there is no image,
and a warning counts them. Dictionaries are read only where there are crops, without running code in them (torch is
needed for that).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ....errors import DataError
from ....files.listing import list_files, list_folders, walk_files
from ....files.torch_files import load_plain
from ...sentences import SentenceImages
from .named import NamedImages

CROPS = 3
_SPLIT_NAMES = {"train": ("train",), "valid": ("val", "valid", "dev"), "test": ("test",)}
_MAIN_FOLDER = "a folder called images or *_images, or with org in its name"
_CROP_FOLDERS = {
    "aux": ("_dict.pth", "with aux in its name or vg at its end"),
    "rcnn": ("img2crop.pth", "with rcnn or detect in its name"),
}
_Crops = Mapping[int | str, tuple[str, ...]]


@dataclass(frozen=True)
class PostImages:
    """The images of one split, by file name, and what is known about their crops."""

    main: NamedImages
    aux: NamedImages
    rcnn: NamedImages
    aux_names: _Crops
    rcnn_names: _Crops

    def of_line(self, line: int, image: str) -> SentenceImages:
        """The images of the sentence in a line (from 0) whose post has this image."""
        return self._found(line, image)

    def of_image(self, image: str) -> SentenceImages:
        """The images of a post by the file name of the whole one."""
        return self._found(image, image)

    @property
    def lookups(self) -> tuple[NamedImages, ...]:
        """What was looked for, to be warned of."""
        return self.main, self.aux, self.rcnn

    def _found(self, aux_key: int | str, image: str) -> SentenceImages:
        crops = (
            tuple(path for name in names.get(key, ())[:CROPS] if (path := images.find(name)))
            for images, names, key in (
                (self.aux, self.aux_names, aux_key),
                (self.rcnn, self.rcnn_names, image.rsplit(".", 1)[0]),
            )
        )
        return SentenceImages(self.main.find(image), *crops)


def find_post_images(image_folder: Path, texts: Path, split: str) -> PostImages:
    """The images of one split below a folder; nothing is found where there is nothing.

    Args:
        image_folder: the folder with the image folders.
        texts: the folder with the text files, where the dictionaries are looked for first.
        split: "train", "valid" or "test".

    Raises:
        DataError: if several dictionaries or folders fit, or a dictionary is malformed.
    """
    folders: dict[str, Path] = {}
    for folder in list_folders(image_folder):
        kind = _kind(folder.name)
        if kind and folders.setdefault(kind, folder) != folder:
            raise DataError(f"{image_folder} has two folders of {kind} images: {folders[kind].name} and {folder.name}.")
    others = {name for other, names in _SPLIT_NAMES.items() if other != split for name in names}
    images = {kind: NamedImages(folder, walk_files(folder, without=others)) for kind, folder in folders.items()}
    main, aux, rcnn = (
        images.get(kind) or NamedImages(image_folder, lacks=_MAIN_FOLDER) for kind in ("main", "aux", "rcnn")
    )
    places = tuple(dict.fromkeys((texts, image_folder)))
    names = _SPLIT_NAMES[split]
    aux_file = _dictionary(places, [f"{name}_dict.pth" for name in names]) if "aux" in images else None
    rcnn_file = _dictionary(places, [f"{name}_img2crop.pth" for name in names]) if "rcnn" in images else None
    if "rcnn" in images and rcnn_file is None:
        of_a_split = [f"{name}_img2crop.pth" for names in _SPLIT_NAMES.values() for name in names]
        rcnn_file = _dictionary(places, ["img2crop.pth"], but_not=of_a_split)
    return PostImages(
        main,
        aux,
        rcnn,
        _read_crops(aux_file) if aux_file else {},
        _read_crops(rcnn_file) if rcnn_file else {},
    )


def warn_of_unused(image_folder: Path, texts: Path) -> None:
    """Say which dictionaries name crops of a kind that has no folder."""
    kinds = {_kind(folder.name) for folder in list_folders(image_folder)}
    files = [path.name for place in dict.fromkeys((texts, image_folder)) for path in list_files(place)]
    for kind, (ending, folder) in _CROP_FOLDERS.items():
        unused = [name for name in files if name.endswith(ending)]
        if unused and kind not in kinds:
            warnings.warn(
                f"crops are named by {', '.join(unused)}, but {image_folder} has no folder {folder}; no crop is read.",
                stacklevel=2,
            )


def _kind(folder: str) -> str | None:
    name = folder.lower()
    if "aux" in name or name.endswith("vg"):
        return "aux"
    if "rcnn" in name or "detect" in name:
        return "rcnn"
    return "main" if "org" in name or name == "images" or name.endswith("_images") else None


def _dictionary(places: Sequence[Path], endings: Sequence[str], *, but_not: Sequence[str] = ()) -> Path | None:
    files = [path for place in places for path in list_files(place)]
    found = [path for path in files if path.name.endswith(tuple(endings)) and not path.name.endswith(tuple(but_not))]
    if len(found) > 1:
        listed = " and ".join(str(path) for path in found)
        raise DataError(f"{listed} are both dictionaries of the same images. Keep one.")
    return found[0] if found else None


def _read_crops(path: Path) -> dict[int | str, tuple[str, ...]]:
    """Key -> file names of crops."""
    content = load_plain(path, "plain lists of names", "Fetch it again.")
    if not isinstance(content, dict):
        raise DataError(f"{path} holds a {type(content).__name__}; expected a dictionary of lists of names.")
    found: dict[int | str, tuple[str, ...]] = {}
    for key, names in content.items():
        if not isinstance(key, int | str) or not isinstance(names, list) or not all(isinstance(n, str) for n in names):
            raise DataError(f"{path}: {str(key)[:80]!r} has {str(names)[:80]}; expected a list of file names.")
        found[key] = tuple(names)
    return found
