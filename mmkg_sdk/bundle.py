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
and dtypes, finite values, labels, triples in range. Not checked: who made it (sign the folder for that), and
whether its graphs compute what they should (`mmkg-sdk verify` does).
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from .errors import BundleError, DataError
from .families import FAMILIES
from .files import read_labels
from .known_triples import KnownTriples
from .labels import Labels

FORMAT_VERSION = 1
MANIFEST = "bundle.json"
GRAPHS = ("entity_encoder", "entity_encoder_token_table", "query_encoder", "complete")
PRECISIONS = ("fp32", "fp16", "bf16")
FILES = (
    "entities.txt",
    "relations.txt",
    "table.safetensors",
    "weights.safetensors",
    "inputs.safetensors",
    "triples.safetensors",
    *(f"{graph}.onnx" for graph in GRAPHS),
    "parity.json",
    "MODEL_CARD.md",
)
# Only a bundle without the token-table rewrite lacks a file of the list.
_OPTIONAL = {"entity_encoder_token_table.onnx"}
_MANIFEST_LIMIT = 1 << 20
_GRAPH_LIMIT = 64 << 20
_HASH_CHUNK = 1 << 20


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
        return KnownTriples(np.concatenate([self.triples[split] for split in ("train", "valid", "test")]))

    @classmethod
    def open(cls, path: str | Path) -> Bundle:
        """Open and verify a bundle.

        Raises:
            BundleError: if anything is not as the format says; the message names the file.
        """
        folder = Path(path).expanduser()
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
            _read_tensors(folder / "table.safetensors")["vectors"],
            _read_tensors(folder / "inputs.safetensors"),
            _read_tensors(folder / "triples.safetensors"),
        )
        _check_tensors(bundle)
        return bundle


def read_manifest(folder: Path) -> dict[str, Any]:
    """bundle.json, with its own fields checked; no other file is touched."""
    if not folder.exists():
        raise BundleError(f"{folder}: no such folder. Pass the folder that `mmkg-sdk export` wrote.")
    if not folder.is_dir():
        raise BundleError(f"{folder} is a file; a bundle is a folder. Pass the folder that `mmkg-sdk export` wrote.")
    path = folder / MANIFEST
    if not os.path.lexists(path):
        raise BundleError(
            f"{folder} has no {MANIFEST}: this is no bundle, or its export did not finish. Export again."
        )
    with _open_regular(path) as file:
        raw = file.read(_MANIFEST_LIMIT + 1)
    if len(raw) > _MANIFEST_LIMIT:
        raise BundleError(f"{path} is larger than {_MANIFEST_LIMIT >> 20} MiB; no export writes that.")
    try:
        manifest = json.loads(raw.decode("utf-8"), object_pairs_hook=_distinct, parse_constant=_no_constant)
    except (ValueError, RecursionError) as err:
        raise BundleError(f"{path} is not the JSON that an export writes ({err}). Fetch the bundle again.") from err
    _check_manifest(path, manifest)
    assert isinstance(manifest, dict)
    return manifest


def sha256_of(file: BinaryIO) -> str:
    """SHA-256 of the rest of an open file, in hexadecimal."""
    digest = hashlib.sha256()
    while chunk := file.read(_HASH_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def _check_manifest(path: Path, manifest: Any) -> None:
    if not isinstance(manifest, dict):
        raise BundleError(f"{path} holds a {type(manifest).__name__}, expected an object.")
    version = manifest.get("format_version")
    if version != FORMAT_VERSION:
        raise BundleError(
            f"{path} has format version {version!r}; this mmkg_sdk reads version {FORMAT_VERSION}. "
            "If it is higher, run: pip install --upgrade mmkg_sdk. If not, export the bundle again."
        )
    fields = {
        "family": str,
        "precision": str,
        "config": dict,
        "graphs": dict,
        "files": dict,
        "num_entities": int,
        "num_relations": int,
        "embedding_dim": int,
    }
    for name, kind in fields.items():
        if not isinstance(manifest.get(name), kind) or isinstance(manifest.get(name), bool):
            raise BundleError(f"{path}: {name} is {manifest.get(name)!r:.80}; expected {kind.__name__}.")
    if manifest["family"] not in FAMILIES:
        raise BundleError(f"{path}: unknown family {manifest['family']!r}; known: {', '.join(FAMILIES)}.")
    if manifest["precision"] not in PRECISIONS:
        raise BundleError(f"{path}: unknown precision {manifest['precision']!r}; known: {', '.join(PRECISIONS)}.")
    listed = set(manifest["files"])
    if odd := listed - set(FILES):
        raise BundleError(f"{path} lists a file {min(odd)!r:.80}, which is not part of the format.")
    if absent := set(FILES) - _OPTIONAL - listed:
        raise BundleError(f"{path} does not list {min(absent)}; the export did not finish. Export again.")
    for name, entry in manifest["files"].items():
        if (
            not isinstance(entry, dict)
            or not isinstance(entry.get("bytes"), int)
            or not isinstance(entry.get("sha256"), str)
        ):
            raise BundleError(f"{path}: the entry of {name} is {entry!r:.80}; expected sha256 and bytes.")
    if {f"{graph}.onnx" for graph in manifest["graphs"]} != {name for name in listed if name.endswith(".onnx")}:
        raise BundleError(f"{path}: graphs {sorted(manifest['graphs'])!r:.200} do not match the .onnx files listed.")


def _verify_file(folder: Path, name: str, entry: dict[str, Any]) -> None:
    path = folder / name
    if not os.path.lexists(path):
        raise BundleError(f"{path} is missing. The copy is incomplete; fetch the bundle again.")
    with _open_regular(path) as file:
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


def _open_regular(path: Path) -> BinaryIO:
    """Open a plain file: no link, no device, no pipe; checked on the opened file, not on the name."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError as err:
        raise BundleError(
            f"{path} cannot be opened as a plain file ({err.strerror}). A bundle holds plain files only, no links."
        ) from err
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        os.close(descriptor)
        what = "has several names (hard links)" if stat.S_ISREG(status.st_mode) else "is not a plain file"
        raise BundleError(f"{path} {what}. A bundle holds plain files only; copy it with `cp -r`.")
    return os.fdopen(descriptor, "rb")


def _read_tensors(path: Path) -> dict[str, NDArray[Any]]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        tensors: dict[str, NDArray[Any]] = load_file(path)
    except (SafetensorError, ValueError, KeyError) as err:
        raise BundleError(f"{path} is not a valid safetensors file ({err}). Export the bundle again.") from err
    return tensors


def _check_tensors(bundle: Bundle) -> None:
    """Shapes, dtypes, finite values and ranges of table, inputs and triples."""
    rows, width = bundle.manifest["num_entities"], bundle.manifest["embedding_dim"]
    if bundle.table.shape != (rows, width) or bundle.table.dtype != np.float32:
        raise BundleError(
            f"{bundle.path / 'table.safetensors'}: found {bundle.table.dtype} {list(bundle.table.shape)}, "
            f"expected float32 [{rows}, {width}]."
        )
    for name, array in {"table.safetensors": bundle.table, **bundle.inputs}.items():
        if len(array) != rows:
            raise BundleError(f"{bundle.path}: {name} has {len(array)} rows for {rows} entities.")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            row = np.argwhere(~np.isfinite(array))[0][0]
            raise BundleError(f"{bundle.path}: {name} holds NaN or infinity (row {row}). Export from a sound run.")
    limits = np.array([rows, bundle.manifest["num_relations"], rows])
    for split in ("train", "valid", "test"):
        triples = bundle.triples.get(split)
        if triples is None or triples.ndim != 2 or triples.shape[1:] != (3,) or triples.dtype != np.int64:
            raise BundleError(f"{bundle.path / 'triples.safetensors'}: {split} is not int64 [n, 3].")
        if ((triples < 0) | (triples >= limits)).any():
            raise BundleError(f"{bundle.path / 'triples.safetensors'}: {split} holds an id that is out of range.")


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("a key stands twice")
    return values


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
