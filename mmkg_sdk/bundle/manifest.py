"""bundle.json: what a bundle is, and what it must say before any other file is opened."""

from __future__ import annotations

import hashlib
import json
import math
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import BundleError, DataError, ExportError
from ..files.folders import FolderKind, kept_aside
from ..files.strict_json import plain_json
from ..registry import FAMILIES, family_part
from .config import FamilyConfig, read_config
from .contents import Contents
from .files import open_plain_file
from .graph_specs import GraphSpec
from .hashes import file_entry
from .parts import FRONT, Part

FORMAT_VERSION = 3
READ_VERSIONS = (2, FORMAT_VERSION)
MANIFEST = "bundle.json"
BUNDLE = FolderKind("bundle", ExportError, "Pass --overwrite to replace it, or another folder.", marker=MANIFEST)
# Of a bundle that entities were added to: so many of its entities, the first, were trained.
TRAINED = "trained_entities"
PRECISIONS = ("fp32", "fp16", "bf16", "int8", "fp8")
# Of those, what products round to on the way: the graphs say it by Q/DQ nodes, and the weights are float32.
QUANTIZED = ("int8", "fp8")
_SIZE_LIMIT = 1 << 20
_FIELDS = {
    "family": str,
    "precision": str,
    "config": dict,
    "graphs": dict,
    "files": dict,
}
_DTYPES = ("float32", "float16", "int64", "bool")
# The field that holds the digest of the others; bundles of 0.2.0 have none.
_SEAL = "seal"
# Of an axis, and of all numbers of a tensor at the sizes that its graph is tried with.
_LARGEST_SIZE, _MOST_NUMBERS = (1 << 31) - 1, 1 << 27


def read_manifest(folder: Path, *, follow_links: bool = False) -> dict[str, Any]:
    """bundle.json, with its own fields checked; no other file is touched.

    Raises:
        BundleError: no bundle, an unfinished export, another format version, or a field that is not as it should be.
    """
    try:
        status = folder.stat()
    except (OSError, ValueError) as err:  # ValueError: a NUL in the name
        reason = getattr(err, "strerror", None) or err
        aside = kept_aside(folder) if isinstance(err, FileNotFoundError) else ""
        advice = "Pass the folder that `mmkg-sdk export` wrote, or a revision if it names a repository of the Hub."
        raise BundleError(f"{folder}: {reason}. {advice}{aside}") from err
    if not stat.S_ISDIR(status.st_mode):
        raise BundleError(f"{folder} is a file; a bundle is a folder. Pass the folder that `mmkg-sdk export` wrote.")
    path = folder / MANIFEST
    if not os.path.lexists(path):
        if os.path.lexists(folder / FRONT / MANIFEST):
            raise BundleError(
                f"{folder} is a sharded bundle, which `mmkg-sdk bundle shard` wrote. Open it with "
                "mmkg_sdk.serving.load_sharded; see docs/sharding.md."
            )
        raise BundleError(f"{folder} has no {MANIFEST}: this is no bundle, or its export did not finish. Export again.")
    with open_plain_file(path, follow_links=follow_links) as file:
        raw = file.read(_SIZE_LIMIT + 1)
    if len(raw) > _SIZE_LIMIT:
        raise BundleError(f"{path} is larger than {_SIZE_LIMIT >> 20} MiB; no export writes that.")
    try:
        manifest = plain_json(raw)
    except (ValueError, RecursionError) as err:
        raise BundleError(f"{path} is not the JSON that an export writes ({err}). Fetch the bundle again.") from err
    _check(path, manifest)
    _check_seal(path, manifest)
    assert isinstance(manifest, dict)
    return manifest


def sealed(manifest: dict[str, Any]) -> dict[str, Any]:
    """The manifest with the digest of all of it, so that no field can be changed without a word."""
    return manifest | {_SEAL: _digest(manifest)}


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """Write bundle.json: the manifest with the hashes of all files of the folder, and its seal."""
    files = {path.name: file_entry(path) for path in sorted(folder.iterdir())}
    write_json(folder / MANIFEST, sealed(manifest | {"files": files}))


def write_json(path: Path, value: Any) -> None:
    """A file of a bundle that people read, too; into a folder that appears as a whole."""
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _check_seal(path: Path, manifest: dict[str, Any]) -> None:
    """Whether the manifest is as it was written."""
    if _SEAL in manifest and manifest[_SEAL] != _digest(manifest):
        raise BundleError(
            f"{path} was changed after it was written: its {_SEAL} is another than that of its content. "
            "Fetch the bundle again, or export it again with the settings that are wanted."
        )


def _digest(manifest: dict[str, Any]) -> str:
    """SHA-256 of all fields but the seal, in an order and a form of their own."""
    content = {name: value for name, value in manifest.items() if name != _SEAL}
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _check(path: Path, manifest: Any) -> None:
    if not isinstance(manifest, dict):
        raise BundleError(f"{path} holds a {type(manifest).__name__}, expected an object.")
    version = manifest.get("format_version")
    if version not in READ_VERSIONS or isinstance(version, (bool, float)):
        raise BundleError(
            f"{path} has format version {version!r:.80}; this mmkg_sdk reads {' and '.join(map(str, READ_VERSIONS))}. "
            "If it is higher, run: pip install --upgrade mmkg_sdk. If not, export the bundle again."
        )
    for name, kind in _FIELDS.items():
        if not isinstance(manifest.get(name), kind) or isinstance(manifest.get(name), bool):
            raise BundleError(f"{path}: {name} is {manifest.get(name)!r:.80}; expected {kind.__name__}.")
    if not isinstance(manifest.get("provenance", {}), dict):
        raise BundleError(f"{path}: provenance is {manifest['provenance']!r:.80}; expected dict.")
    if manifest["family"] not in FAMILIES:
        raise BundleError(f"{path}: unknown family {manifest['family']!r:.80}; known: {', '.join(FAMILIES)}.")
    if manifest["precision"] not in PRECISIONS:
        raise BundleError(f"{path}: unknown precision {manifest['precision']!r:.80}; known: {', '.join(PRECISIONS)}.")
    contents = _contents(path, manifest)
    if TRAINED in manifest:
        trained, most = manifest[TRAINED], manifest["config"].get("num_entities", 0)
        if type(trained) is not int or not 1 <= trained <= most:
            raise BundleError(f"{path}: {TRAINED} is {trained!r:.80}; expected 1 to {most}. Fetch the bundle again.")
    _check_files(path, manifest, contents)
    for graph, spec in manifest["graphs"].items():
        _check_graph(f"{path}: graph {graph}", spec)


def manifest_contents(manifest: dict[str, Any]) -> Contents:
    """What the bundle holds, as the family says of its configuration; or the part of it that the manifest is of.

    Raises:
        DataError: the configuration is none of the family's, or the part is none.
    """
    contents: Callable[[FamilyConfig], Contents] = family_part(manifest["family"], "runtime").contents
    whole = contents(read_config(manifest["family"], manifest["config"]))
    return Part.from_json(manifest["part"]).contents(whole) if "part" in manifest else whole


def _contents(path: Path, manifest: dict[str, Any]) -> Contents:
    try:
        return manifest_contents(manifest)
    except DataError as err:
        raise BundleError(f"{path}: {err} Export the bundle again.") from err


def _check_files(path: Path, manifest: dict[str, Any], contents: Contents) -> None:
    """Names come from a closed list, so that none can lead out of the folder."""
    listed = set(manifest["files"])
    if odd := listed - set(contents.files):
        raise BundleError(f"{path} lists a file {min(odd)!r:.80}, which is not part of the format.")
    if absent := set(contents.files) - contents.files_that_may_lack - listed:
        raise BundleError(f"{path} does not list {min(absent)}; the export did not finish. Export again.")
    for name, entry in manifest["files"].items():
        if not isinstance(entry, dict) or type(entry.get("bytes")) is not int or type(entry.get("sha256")) is not str:
            raise BundleError(f"{path}: the entry of {name} is {entry!r:.80}; expected sha256 and bytes.")
        if type(entry.get("sha256_tree", "")) is not str:
            raise BundleError(f"{path}: sha256_tree of {name} is {entry['sha256_tree']!r:.80}; expected a text.")
    if set(manifest["graphs"]) != set(contents.graphs):
        raise BundleError(f"{path}: graphs {sorted(manifest['graphs'])!r:.200} do not match the .onnx files listed.")


def _check_graph(place: str, spec: Any) -> None:
    """A signature as GraphSpec.to_json writes it: inputs, outputs and axes."""
    if not isinstance(spec, dict) or not isinstance(spec.get("axes"), dict):
        raise BundleError(f"{place} is {spec!r:.80}; expected inputs, outputs and axes.")
    for axis, sizes in spec["axes"].items():
        whole = isinstance(sizes, list) and len(sizes) == 3 and all(type(size) is int for size in sizes)
        if not whole or not 1 <= sizes[0] <= sizes[1] <= sizes[2] <= _LARGEST_SIZE:
            raise BundleError(
                f"{place}: axis {axis!r:.80} is {sizes!r:.80}; expected [min, typical, max], at most {_LARGEST_SIZE:,}."
            )
    for kind in ("inputs", "outputs"):
        tensors = spec.get(kind)
        if not isinstance(tensors, list) or not all(_is_tensor(tensor, spec["axes"]) for tensor in tensors):
            raise BundleError(f"{place}: {kind} are {tensors!r:.200}; expected a list of name, dtype and shape.")
    graph = GraphSpec.from_json("", spec)
    for tensor in (*graph.inputs, *graph.outputs):
        if math.prod(tensor.probe_shape) > _MOST_NUMBERS:
            raise BundleError(
                f"{place}: {tensor.name!r:.80} has {math.prod(tensor.probe_shape):,} numbers for a batch of two; "
                f"expected at most {_MOST_NUMBERS:,}."
            )
    if len({tensor.name for tensor in graph.inputs}) < len(graph.inputs):
        raise BundleError(f"{place}: two inputs have one name.")


def _is_tensor(tensor: Any, axes: dict[str, Any]) -> bool:
    return (
        isinstance(tensor, dict)
        and isinstance(tensor.get("name"), str)
        and tensor.get("dtype") in _DTYPES
        and isinstance(tensor.get("shape"), list)
        and all(
            size in axes if isinstance(size, str) else type(size) is int and 0 <= size <= _LARGEST_SIZE
            for size in tensor["shape"]
        )
    )
