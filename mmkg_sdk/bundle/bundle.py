"""Bundle: the verified, read-only folder that is deployed.

docs/bundle-format.md says what lies in it, what is checked when it is opened, and what is not.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BundleError, DataError
from ..files.labels import SINGULAR, Labels, parse_labels
from ..ranking.known_triples import KnownTriples
from ..registry import family_part
from .config import FamilyConfig, read_config
from .contents import KNOWN_TRIPLES, SPLITS, Contents
from .external_data import external_data
from .files import open_file, release
from .graph_specs import GraphSpec
from .hashes import check_hashes
from .known_triples import check_index, check_triples
from .manifest import MANIFEST, TRAINED, manifest_contents, read_manifest
from .onnx_signature import onnx_signature
from .parts import Part
from .tensors import read_tensors
from .verified_once import VerifiedOnce, records_wanted
from .weights import check_weights

# The files that a graph may point into.
_WEIGHT_FILES = ("weights.safetensors", "table.safetensors")


@dataclass(frozen=True)
class Bundle:
    """An opened bundle. Use `Bundle.open`; the constructor checks nothing.

    Attributes:
        path: the folder. Nothing is read from it any more: what was verified is what is used.
        files: file name -> content: what was verified, or for large files a memory map of it.
        follow_links: as it was opened.
        made: what was made of files, by name, for who needs it again.
    """

    path: Path
    manifest: dict[str, Any]
    labels: dict[str, Labels]
    tensors: dict[str, dict[str, NDArray[Any]]]
    files: Mapping[str, memoryview] = field(repr=False)
    follow_links: bool = False
    made: dict[str, Any] = field(default_factory=dict, repr=False)

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
        """What the entity encoder gave: name -> one row per entity; nothing at the front of a sharded bundle."""
        return self.tensors.get("table", {})

    @property
    def table(self) -> NDArray[np.float32]:
        """The encoded entities of a link prediction family, float32 [num_entities, width]."""
        return self.encoded["vectors"]

    @cached_property
    def part(self) -> Part | None:
        """What it is of a sharded bundle; None where it is a whole one."""
        return Part.from_json(self.manifest["part"]) if "part" in self.manifest else None

    @property
    def inputs(self) -> dict[str, NDArray[Any]]:
        """What the entity encoder was fed: name -> one row per entity."""
        return self.tensors["inputs"]

    @property
    def num_trained(self) -> int:
        """The first so many entities were trained; others were added to the bundle later."""
        return int(self.manifest.get(TRAINED, len(self.entities)))

    @cached_property
    def mean_structure(self) -> NDArray[np.float32]:
        """The mean of the trained structural embeddings, float32 [1, width]; to make it reads all of them once."""
        mean: NDArray[np.float32] = self.inputs["structure"][: self.num_trained].mean(axis=0, keepdims=True)
        release(self.files["inputs.safetensors"])
        return mean

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

    def weight_files(self, graph: str) -> set[str]:
        """The files that a graph reads its weights from."""
        return {place[0] for place in _places(self.files[f"{graph}.onnx"])}

    def release(self) -> None:
        """Let go of memory that holds what was looked at of large files; what is read again comes back by itself."""
        for content in self.files.values():
            release(content)

    @cached_property
    def known_triples(self) -> KnownTriples:
        """The index of all triples of the data, for filtering known answers; made of them where none is stored."""
        if KNOWN_TRIPLES in self.tensors:
            return KnownTriples.of_arrays(self.tensors[KNOWN_TRIPLES])
        return KnownTriples(self.all_triples())

    def all_triples(self) -> NDArray[np.int64]:
        """The triples of all splits, int64 [n, 3]."""
        return np.concatenate([self.triples[split] for split in SPLITS])

    @classmethod
    def open(
        cls, path: str | Path, *, follow_links: bool = False, hash_always: bool = False, part: bool = False
    ) -> Bundle:
        """Open and verify a bundle.

        Args:
            follow_links: files may be links that lead out of the folder, to whatever place.
            hash_always: read and hash all files, in both ways where there are two, though a record says that the large
                ones were verified on this machine and have not changed since (docs/bundle-format.md).
            part: a part of a sharded bundle is expected, and not a whole one (docs/sharding.md).

        Raises:
            BundleError: if anything is not as the format says; the message names the file.
        """
        folder = Path(os.path.expanduser(path))
        manifest = read_manifest(folder, follow_links=follow_links)
        if ("part" in manifest) != part:
            raise BundleError(
                f"{folder} is a whole bundle; expected a part of a sharded one. Cut it with `mmkg-sdk bundle shard`."
                if part
                else f"{folder} is a part of a sharded bundle. Open the folder above it with "
                "mmkg_sdk.serving.load_sharded."
            )
        contents = manifest_contents(manifest)
        opened = {
            name: open_file(folder / name, entry, mapped=name in contents.mapped_files, follow_links=follow_links)
            for name, entry in manifest["files"].items()
        }
        files = {name: file.content for name, file in opened.items()}
        large = {name: file.status for name, file in opened.items() if file.is_large}
        record = None if hash_always or not records_wanted() else VerifiedOnce(manifest, large)
        known = frozenset(large) if record and record.exists() else frozenset()
        unknown = {name: content for name, content in files.items() if name not in known}
        check_hashes(folder, unknown, manifest["files"], all_of=hash_always)
        bundle = cls.of(folder, manifest, files, follow_links=follow_links, known=known)
        if "triples" in bundle.tensors:
            sizes = len(bundle.entities), len(bundle.relations)
            if "triples.safetensors" not in known:
                check_triples(folder, bundle.triples, *sizes)
            if KNOWN_TRIPLES in bundle.tensors and f"{KNOWN_TRIPLES}.safetensors" not in known:
                check_index(folder, bundle.tensors[KNOWN_TRIPLES], *sizes)
        for graph in manifest["graphs"]:
            _check_graph(bundle, graph)
        check_bundle: Callable[[Bundle], None] = family_part(bundle.family, "runtime").check_bundle
        check_bundle(bundle)
        if "weights.safetensors" in files:  # what ranks rows of a table needs none
            check_weights(bundle.path, files["weights.safetensors"], bundle.config, bundle.precision, bundle.family)
        if record and not known:
            record.keep()
        bundle.release()
        return bundle

    @classmethod
    def of(
        cls,
        folder: Path,
        manifest: dict[str, Any],
        files: Mapping[str, memoryview],
        *,
        follow_links: bool = False,
        known: frozenset[str] = frozenset(),
    ) -> Bundle:
        """The bundle of files that were read; labels and tensors are checked.

        Args:
            known: files whose labels and numbers were checked before.
        """
        contents = manifest_contents(manifest)
        labels = {
            name: _labels(folder / f"{name}.txt", files, count, f"{name}.txt" in known)
            for name, count in contents.labels.items()
        }
        tensors = {
            name: read_tensors(
                folder / f"{name}.safetensors",
                files[f"{name}.safetensors"],
                specs,
                known=f"{name}.safetensors" in known,
            )
            for name, specs in contents.tensors.items()
            if f"{name}.safetensors" in files or name not in contents.younger
        }
        return cls(folder, manifest, labels, tensors, files, follow_links)


def _check_graph(bundle: Bundle, graph: str) -> None:
    """Refuse a graph that reads anything but the weights of its own bundle, or takes and gives what is not written."""
    path, model = bundle.path / f"{graph}.onnx", bundle.files[f"{graph}.onnx"]
    try:
        places = _places(model)
        signature = onnx_signature(model)
    except ValueError as err:
        raise BundleError(f"{path} is not an ONNX file ({err}). Export the bundle again.") from err
    for location, offset, length in places:
        if location not in _WEIGHT_FILES:
            raise BundleError(
                f"{path} reads its weights from {location!r:.120}; a graph of a bundle reads from "
                f"{' and '.join(_WEIGHT_FILES)} only. Do not use this bundle."
            )
        if location not in bundle.files or offset + length > len(bundle.files[location]):
            raise BundleError(
                f"{path} reads {length} bytes at {offset} of {location}, which ends before. Export again."
            )
    for kind, found in signature.items():
        expected = bundle.manifest["graphs"][graph][kind]
        if found != expected:
            wrong = [tensor for tensor in (*found, *expected) if (tensor in found) != (tensor in expected)]
            raise BundleError(
                f"{path} has {kind} {found}, {MANIFEST} says {expected}; first difference: "
                f"{wrong[0]['name'] if wrong else 'order'}. Export again."
            )


def _places(model: memoryview) -> list[tuple[str, int, int]]:
    """Location, offset and length of all weights that lie outside a graph.

    Raises:
        ValueError: it is no ONNX model.
    """
    return [_place(entries) for entries in external_data(model)]


def _place(entries: list[tuple[str, str]]) -> tuple[str, int, int]:
    """Location, offset and length of one tensor. What readers understand differently is an error."""
    place = dict(entries)
    numbers = [place.get("offset", "0"), place.get("length", "0")]
    if len(place) != len(entries) or not all(text.isascii() and text.isdecimal() for text in numbers):
        raise ValueError(f"external data {entries!r:.200}")
    return place.get("location", ""), int(numbers[0]), int(numbers[1])


def _labels(path: Path, files: Mapping[str, memoryview], count: int | None, known: bool) -> Labels:
    """Exactly so many labels; None = any number."""
    try:
        labels = parse_labels(files[path.name], path, SINGULAR.get(path.stem, path.stem), known=known)
    except DataError as err:
        raise BundleError(str(err)) from err
    if count is not None and len(labels) != count:
        raise BundleError(
            f"{path} has {len(labels)} labels, but the configuration in {MANIFEST} says {count}. Export again."
        )
    return labels
