"""Bundle: the verified, read-only folder that is deployed.

Format 1. A bundle is a folder with files of fixed names; other files in it are never opened.

    bundle.json              what it is: family, sizes, precision, graphs, SHA-256 of every other file; written last
    entities.txt             one label per line, UTF-8; the line number from 0 is the id
    relations.txt            likewise
    table.safetensors        "vectors" float32 [num_entities, embedding_dim]: the encoded entities
    weights.safetensors      every weight of every graph, named GRAPH.WEIGHT
    inputs.safetensors       what the entity encoder was fed, one row per entity
    triples.safetensors      "train", "valid", "test" int64 [n, 3]: known triples, by split
    NAME.onnx                the graphs; their weights point into weights.safetensors and table.safetensors
    parity.json              how far the export is from the float64 reference
    MODEL_CARD.md            for people

Checked when a bundle is opened: names, kinds and sizes of files, SHA-256 of every file, the tensors' names, shapes
and dtypes, finite values, labels, triples and tokens in range, and that graphs read weights from these files only.
Not checked: who made it (sign the folder for that), and whether its graphs compute what they should
(`mmkg-sdk verify` does).
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from .errors import BundleError, DataError
from .external_data import external_data
from .files import read_labels
from .known_triples import KnownTriples
from .labels import Labels
from .manifest import FORMAT_VERSION, MANIFEST, PRECISIONS, open_plain_file, read_manifest

__all__ = ["FORMAT_VERSION", "MANIFEST", "PRECISIONS", "Bundle", "read_manifest", "sha256_of"]

_GRAPH_LIMIT = 16 << 20
_HASH_CHUNK = 1 << 20
# The files that a graph may point into.
_WEIGHT_FILES = ("weights.safetensors", "table.safetensors")
_SPLITS = ("train", "valid", "test")
_INPUTS = {"structure", "visual_tokens", "visual_mask", "text_tokens", "text_mask"}


@dataclass(frozen=True)
class Bundle:
    """An opened bundle. Use `Bundle.open`; the constructor checks nothing."""

    path: Path
    manifest: dict[str, Any]
    entities: Labels
    relations: Labels
    table: NDArray[np.float32]
    inputs: dict[str, NDArray[Any]]
    triples: dict[str, NDArray[np.int64]]

    @property
    def family(self) -> str:
        return str(self.manifest["family"])

    @property
    def precision(self) -> str:
        return str(self.manifest["precision"])

    @property
    def config(self) -> dict[str, Any]:
        return dict(self.manifest["config"])

    @property
    def graphs(self) -> dict[str, Any]:
        """Signature of every graph by name: inputs, outputs, axes."""
        return dict(self.manifest["graphs"])

    @cached_property
    def known_triples(self) -> KnownTriples:
        """All triples of the data, for filtering known answers."""
        return KnownTriples(np.concatenate([self.triples[split] for split in _SPLITS]))

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
        try:
            entities = read_labels(folder / "entities.txt", "entity")
            relations = read_labels(folder / "relations.txt", "relation")
        except DataError as err:
            raise BundleError(str(err)) from err
        sizes = (manifest["num_entities"], manifest["num_relations"])
        if (len(entities), len(relations)) != sizes:
            raise BundleError(
                f"{folder}: {len(entities)} entity and {len(relations)} relation labels, but {MANIFEST} says "
                f"{sizes[0]} and {sizes[1]}. Export the bundle again."
            )
        bundle = cls(
            folder,
            manifest,
            entities,
            relations,
            _read_tensors(folder / "table.safetensors", {"vectors"})["vectors"],
            _read_tensors(folder / "inputs.safetensors", _INPUTS),
            _read_tensors(folder / "triples.safetensors", set(_SPLITS)),
        )
        _check_tensors(bundle)
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


def _read_tensors(path: Path, names: set[str]) -> dict[str, NDArray[Any]]:
    """Exactly the named tensors of a safetensors file."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        tensors: dict[str, NDArray[Any]] = load_file(path)
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as err:
        # The last three: a dtype that numpy does not have.
        raise BundleError(f"{path} is not a valid safetensors file ({err}). Export the bundle again.") from err
    if set(tensors) != names:
        raise BundleError(f"{path} holds {sorted(tensors)!r:.200}, expected {sorted(names)}. Export the bundle again.")
    return tensors


def _check_tensors(bundle: Bundle) -> None:
    """Shapes, dtypes, finite values and ranges of table, inputs and triples."""
    rows, width = bundle.manifest["num_entities"], bundle.manifest["embedding_dim"]
    _check_array(bundle.path / "table.safetensors", "vectors", bundle.table, "float32", (rows, width))
    path = bundle.path / "inputs.safetensors"
    _check_array(path, "structure", bundle.inputs["structure"], "float32", (rows, width))
    for modality in ("visual", "text"):
        tokens, mask = (bundle.inputs[f"{modality}_{part}"] for part in ("tokens", "mask"))
        count = max(1, tokens.shape[1]) if tokens.ndim == 2 else 1
        _check_array(path, f"{modality}_tokens", tokens, "int64", (rows, count))
        _check_array(path, f"{modality}_mask", mask, "bool", (rows, count))
        if tokens.min() < 0 or tokens.max() >= bundle.config[f"{modality}_codebook_rows"]:
            raise BundleError(f"{path}: {modality}_tokens holds a row that the codebook does not have. Export again.")
    limits = np.array([rows, bundle.manifest["num_relations"], rows])
    path = bundle.path / "triples.safetensors"
    for split, triples in bundle.triples.items():
        _check_array(path, split, triples, "int64", (len(triples) if triples.ndim else 0, 3))
        wrong = np.flatnonzero(((triples < 0) | (triples >= limits)).any(axis=1))
        if len(wrong):
            raise BundleError(f"{path}: triple {wrong[0]} of {split} is {triples[wrong[0]].tolist()}; out of range.")


def _check_array(path: Path, name: str, array: NDArray[Any], dtype: str, shape: tuple[int, ...]) -> None:
    if array.dtype != dtype or array.shape != shape:
        raise BundleError(
            f"{path}: {name} is {array.dtype} {list(array.shape)}, expected {dtype} {list(shape)}. Export again."
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        row = np.flatnonzero(~np.isfinite(array).all(axis=1))[0]
        raise BundleError(f"{path}: {name} holds NaN or infinity in row {row}. Export from a sound run.")
