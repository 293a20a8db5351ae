"""Bundle: the verified, read-only folder that is deployed.

docs/bundle-format.md says what lies in it, what is checked when it is opened, and what is not.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..errors import BundleError, DataError
from ..files.labels import SINGULAR, Labels, read_labels
from ..ranking.known_triples import KnownTriples
from ..registry import family_part
from .config import FamilyConfig, read_config
from .contents import SPLITS, Contents
from .external_data import external_data
from .graph_specs import GraphSpec
from .manifest import MANIFEST, manifest_contents, open_plain_file, read_manifest
from .tensors import read_tensors

_GRAPH_LIMIT = 16 << 20
_HASH_CHUNK = 1 << 20
# The files that a graph may point into.
_WEIGHT_FILES = ("weights.safetensors", "table.safetensors")


@dataclass(frozen=True)
class Bundle:
    """An opened bundle. Use `Bundle.open`; the constructor checks nothing."""

    path: Path
    manifest: dict[str, Any]
    labels: dict[str, Labels]
    tensors: dict[str, dict[str, NDArray[Any]]]

    def __repr__(self) -> str:
        return f"Bundle({self.family} {self.precision}: {self.config.task}, {str(self.path)!r})"

    @property
    def family(self) -> str:
        return str(self.manifest["family"])

    @property
    def precision(self) -> str:
        return str(self.manifest["precision"])

    @cached_property
    def config(self) -> FamilyConfig:
        """The family's configuration object."""
        return read_config(self.family, self.manifest["config"])

    @cached_property
    def contents(self) -> Contents:
        """What the family says that it holds."""
        return manifest_contents(self.manifest)

    @property
    def entities(self) -> Labels:
        """Labels of the entities, where the family has entities."""
        return self.labels["entities"]

    @property
    def relations(self) -> Labels:
        """Labels of the relations, where the family has relations."""
        return self.labels["relations"]

    @property
    def encoded(self) -> dict[str, NDArray[Any]]:
        """What the entity encoder gave: name -> one row per entity."""
        return self.tensors["table"]

    @property
    def table(self) -> NDArray[np.float32]:
        """The encoded entities of a link prediction family, float32 [num_entities, width]."""
        return self.encoded["vectors"]

    @property
    def inputs(self) -> dict[str, NDArray[Any]]:
        """What the entity encoder was fed: name -> one row per entity."""
        return self.tensors["inputs"]

    @property
    def triples(self) -> dict[str, NDArray[np.int64]]:
        """Known triples by split, int64 [n, 3]."""
        return self.tensors["triples"]

    @property
    def graphs(self) -> dict[str, GraphSpec]:
        """Signature of every graph by name."""
        return dict(self._graphs)

    @cached_property
    def _graphs(self) -> dict[str, GraphSpec]:
        return {name: GraphSpec.from_json(name, signature) for name, signature in self.manifest["graphs"].items()}

    @cached_property
    def known_triples(self) -> KnownTriples:
        """All triples of the data, for filtering known answers."""
        return KnownTriples(np.concatenate([self.triples[split] for split in SPLITS]))

    @classmethod
    def open(cls, path: str | Path) -> Bundle:
        """Open and verify a bundle.

        Raises:
            BundleError: if anything is not as the format says; the message names the file.
        """
        folder = Path(os.path.expanduser(path))
        manifest = read_manifest(folder)
        for name in manifest["files"]:
            _verify_file(folder, name, manifest["files"][name])
        contents = manifest_contents(manifest)
        bundle = cls(
            folder,
            manifest,
            {name: _labels(folder / f"{name}.txt", count) for name, count in contents.labels.items()},
            {name: read_tensors(folder / f"{name}.safetensors", specs) for name, specs in contents.tensors.items()},
        )
        _check_triples(bundle)
        check_bundle: Callable[[Bundle], None] = family_part(bundle.family, "runtime").check_bundle
        check_bundle(bundle)
        for graph in manifest["graphs"]:
            _check_locations(folder, f"{graph}.onnx", manifest["files"])
        return bundle


def sha256_of(file: BinaryIO) -> str:
    """SHA-256 of the rest of an open file, in hexadecimal."""
    digest = hashlib.sha256()
    while chunk := file.read(_HASH_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def _verify_file(folder: Path, name: str, entry: dict[str, Any]) -> None:
    path = folder / name
    if not os.path.lexists(path):
        raise BundleError(f"{path} is missing. The copy is incomplete; fetch the bundle again.")
    with open_plain_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size != entry["bytes"]:
            raise BundleError(
                f"{path} has {size:,} bytes, {MANIFEST} says {entry['bytes']:,}. "
                "The copy is incomplete or was changed; fetch the bundle again."
            )
        if name.endswith(".onnx") and size > _GRAPH_LIMIT:
            raise BundleError(f"{path} has {size:,} bytes; a graph keeps its weights outside and is small.")
        digest = sha256_of(file)
    if digest != entry["sha256"]:
        raise BundleError(
            f"{path} was changed: its SHA-256 is {digest}, {MANIFEST} says {entry['sha256']}. Fetch the bundle again."
        )


def _check_locations(folder: Path, name: str, files: dict[str, Any]) -> None:
    """Refuse a graph that reads anything but the weights of its own bundle."""
    path = folder / name
    try:
        places = [_place(entries) for entries in external_data(path.read_bytes())]
    except (OSError, ValueError) as err:
        raise BundleError(f"{path} is not an ONNX file ({err}). Export the bundle again.") from err
    for location, offset, length in places:
        if location not in _WEIGHT_FILES:
            raise BundleError(
                f"{path} reads its weights from {location!r:.120}; a graph of a bundle reads from "
                f"{' and '.join(_WEIGHT_FILES)} only. Do not use this bundle."
            )
        if offset + length > files[location]["bytes"]:
            raise BundleError(
                f"{path} reads {length} bytes at {offset} of {location}, which has {files[location]['bytes']:,}. "
                "Export the bundle again."
            )


def _place(entries: list[tuple[str, str]]) -> tuple[str, int, int]:
    """Location, offset and length of one tensor. What readers understand differently is an error."""
    place = dict(entries)
    numbers = [place.get("offset", "0"), place.get("length", "0")]
    if len(place) != len(entries) or not all(text.isascii() and text.isdecimal() for text in numbers):
        raise ValueError(f"external data {entries!r:.200}")
    return place.get("location", ""), int(numbers[0]), int(numbers[1])


def _labels(path: Path, count: int | None) -> Labels:
    """Exactly so many labels; None = any number."""
    try:
        labels = read_labels(path, SINGULAR.get(path.stem, path.stem))
    except DataError as err:
        raise BundleError(str(err)) from err
    if count is not None and len(labels) != count:
        raise BundleError(
            f"{path} has {len(labels)} labels, but the configuration in {MANIFEST} says {count}. Export again."
        )
    return labels


def _check_triples(bundle: Bundle) -> None:
    """Whether every triple names entities and relations that there are."""
    for split, triples in bundle.tensors.get("triples", {}).items():
        limits = np.array([len(bundle.entities), len(bundle.relations), len(bundle.entities)])
        wrong = np.flatnonzero(((triples < 0) | (triples >= limits)).any(axis=1))
        if len(wrong):
            path = bundle.path / "triples.safetensors"
            raise BundleError(f"{path}: triple {wrong[0]} of {split} is {triples[wrong[0]].tolist()}; out of range.")
