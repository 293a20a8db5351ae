"""Run: the folder that training or importing writes, and that evaluation and export read.

run.json             format_version, family, config, settings or null, source, versions
weights.safetensors  the model's state under its official names; absent in training before the first validation
NAME.txt             labels: one per line, UTF-8; the line number, from 0, is the id
NAME.safetensors     arrays, and further files: what the family's inputs.py makes of the data; run.json names them
metrics.jsonl        one JSON object per trained epoch
resume.pt            where training stands; see training/state.py
"""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .data.graph import SPLITS, KnowledgeGraph
from .errors import DataError, missing_package
from .files.atomic import write_atomically
from .files.folders import FolderKind, folder_lock, kept_aside, new_folder
from .files.labels import SINGULAR, Labels, read_labels, write_labels
from .files.strict_json import NotStrict, plain_json
from .files.tensors import map_tensors, write_tensors
from .registry import check_family

if TYPE_CHECKING:
    import torch

FORMAT_VERSION = 2
_MANIFEST, _WEIGHTS = "run.json", "weights.safetensors"
RUN = FolderKind("run", DataError, "Resume it, choose another, or pass overwrite=True (--overwrite).", _MANIFEST)
_MANIFEST_LIMIT = 1 << 20
_MAPPED_BYTES = 64 << 20
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,40}(\.[a-z]{1,12})?")
_FIELDS: dict[str, tuple[type, ...]] = {
    "family": (str,),
    "config": (dict,),
    "data": (str,),
    "labels": (list,),
    "tensors": (list,),
    "files": (list,),
    "settings": (dict, type(None)),
    "source": (dict,),
    "versions": (dict,),
}


@dataclass(frozen=True)
class RunData:
    """Labels, arrays and files by name; each becomes a file of the run folder.

    Attributes:
        name: of the data set.
        labels: NAME.txt.
        tensors: NAME.safetensors.
        files: whole files, by file name.
    """

    name: str
    labels: Mapping[str, Labels]
    tensors: Mapping[str, Mapping[str, NDArray[Any]]]
    files: Mapping[str, bytes] = field(default_factory=dict)


class Run:
    """An opened run folder. Use `Run.create` or `Run.open`."""

    def __init__(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        self.folder = folder
        self._manifest = manifest
        self._tensors: dict[str, dict[str, np.ndarray]] = {}

    @classmethod
    def create(
        cls,
        folder: str | Path,
        *,
        family: str,
        config: Mapping[str, Any],
        data: RunData,
        settings: Mapping[str, Any] | None = None,
        source: Mapping[str, Any] | None = None,
        weights: Mapping[str, torch.Tensor] | None = None,
        overwrite: bool = False,
    ) -> Run:
        """A new run. It appears whole, and one that it replaces stays until then.

        Args:
            config: the family's configuration, a JSON object.
            data: labels, arrays and files that the family made of its data.
            settings: TrainingSettings.to_json(), or None if the weights come from elsewhere.
            source: where data and weights come from, a JSON object.
            weights: as for `save_weights`; None: there are none before training saves some.
            overwrite: replace a run that stands there.

        Raises:
            DataError: if something stands at `folder` already, a process trains or writes it, the disk is full, or a
                value cannot be written.
        """
        folder = Path(folder).expanduser()
        check_family(family)
        manifest = {
            "format_version": FORMAT_VERSION,
            "family": family,
            "config": dict(config),
            "data": data.name,
            "labels": sorted(data.labels),
            "tensors": sorted(data.tensors),
            "files": sorted(data.files),
            "settings": None if settings is None else dict(settings),
            "source": dict(source or {}),
            "versions": _versions(),
        }
        described = _json(manifest)
        with new_folder(folder, RUN, overwrite=overwrite) as new:
            for name, labels in data.labels.items():
                write_labels(new / f"{name}.txt", labels)
            for name, arrays in data.tensors.items():
                with (new / f"{name}.safetensors").open("wb") as file:
                    write_tensors(file, arrays)
            for name, content in data.files.items():
                (new / name).write_bytes(content)
            if weights is not None:
                (new / _WEIGHTS).write_bytes(_encoded(weights))
            (new / _MANIFEST).write_bytes(described)
        return cls(folder, manifest)

    @classmethod
    def open(cls, folder: str | Path) -> Run:
        """The run in a folder.

        Raises:
            DataError: if it is not a run, incomplete, of an unknown format version or family.
        """
        folder = Path(folder).expanduser()
        manifest = _read_manifest(folder)
        expected = [f"{name}.txt" for name in manifest["labels"]]
        expected += [f"{name}.safetensors" for name in manifest["tensors"]]
        missing = [name for name in (*expected, *manifest["files"]) if not (folder / name).is_file()]
        if missing:
            raise DataError(f"{folder} has no {missing[0]}; the run is incomplete. Copy it again or train anew.")
        return cls(folder, manifest)

    def locked(self) -> AbstractContextManager[None]:
        """Keeps others from training or overwriting the run while the block runs; reading it is free.

        Raises:
            DataError: on entry, with the process that trains or writes it.
        """
        return folder_lock(self.folder, RUN)

    @property
    def family(self) -> str:
        """The name of the model family."""
        return str(self._manifest["family"])

    @property
    def config(self) -> dict[str, Any]:
        """The family's configuration."""
        return dict(self._manifest["config"])

    @property
    def settings(self) -> dict[str, Any] | None:
        """The training settings, or None for imported weights."""
        settings = self._manifest["settings"]
        return None if settings is None else dict(settings)

    @property
    def source(self) -> dict[str, Any]:
        """Where data and weights come from."""
        return dict(self._manifest["source"])

    @property
    def versions(self) -> dict[str, str]:
        """The packages that created the run."""
        return dict(self._manifest["versions"])

    @property
    def data_name(self) -> str:
        """Name of the data set."""
        return str(self._manifest["data"])

    @property
    def data(self) -> RunData:
        """Everything that `create` was given."""
        tensors = {name: self.tensors(name) for name in self._manifest["tensors"]}
        return RunData(self._manifest["data"], self.labels, tensors, self.files)

    @property
    def files(self) -> dict[str, bytes]:
        """Whole files by name, read when asked."""
        return {name: (self.folder / name).read_bytes() for name in self._manifest["files"]}

    @cached_property
    def labels(self) -> dict[str, Labels]:
        """Labels by name, read on first use."""
        names = self._manifest["labels"]
        return {name: read_labels(self.folder / f"{name}.txt", SINGULAR.get(name, name)) for name in names}

    @cached_property
    def graph(self) -> KnowledgeGraph:
        """Labels and triples of a link prediction run."""
        triples = self.tensors("triples")
        if sorted(triples) != sorted(SPLITS):
            path = self.folder / "triples.safetensors"
            raise DataError(f"{path} holds {sorted(triples)}; expected {sorted(SPLITS)}. Copy the run again.")
        labels = self.labels
        return KnowledgeGraph(self._manifest["data"], labels["entities"], labels["relations"], **triples)

    @property
    def inputs(self) -> dict[str, np.ndarray]:
        """What the model is built with, besides its configuration; nothing in some families."""
        return self.tensors("inputs") if "inputs" in self._manifest["tensors"] else {}

    def tensors(self, name: str) -> dict[str, np.ndarray]:
        """The arrays of NAME.safetensors, read on first use; of a file above 64 MiB read-only memory maps."""
        if name not in self._manifest["tensors"]:
            raise DataError(f"{self.folder} is a run of {self.family} without {name}.safetensors.")
        if name not in self._tensors:
            self._tensors[name] = _read_arrays(self.folder / f"{name}.safetensors")
        return self._tensors[name]

    @property
    def has_weights(self) -> bool:
        """Whether weights were saved yet."""
        return self.weights_path.is_file()

    @property
    def weights_path(self) -> Path:
        """Where the weights lie, or will lie."""
        return self.folder / _WEIGHTS

    def weights(self) -> dict[str, torch.Tensor]:
        """The model's state on the CPU, sorted by name.

        Raises:
            DataError: if there are none yet, the file is damaged, or a tensor holds a NaN or infinity.
        """
        try:
            import torch
            from safetensors.torch import load
        except ImportError as err:
            raise missing_package("torch", "train", "reading weights") from err
        if not self.has_weights:
            raise DataError(
                f"{self.folder} has no {_WEIGHTS}: no validation was reached. "
                f"Go on training: mmkg-sdk train --resume {self.folder}"
            )
        path = self.weights_path
        try:
            weights: dict[str, torch.Tensor] = dict(sorted(load(path.read_bytes()).items()))
        except Exception as err:
            raise _damaged(path, err) from err
        for name, tensor in weights.items():
            if tensor.is_floating_point() and not torch.isfinite(tensor).all():
                count = int((~torch.isfinite(tensor)).sum())
                raise DataError(
                    f"{path}: tensor {name!r} holds {count} values that are not finite, of {tensor.numel()}. "
                    "The training diverged or the file was altered; use other weights."
                )
        return weights

    def save_weights(self, state: Mapping[str, torch.Tensor]) -> None:
        """Replace the weights atomically.

        Args:
            state: a state dict; tensors on any device, tied ones are written once for each name.
        """
        write_atomically(self.weights_path, _encoded(state))


def _encoded(state: Mapping[str, torch.Tensor]) -> bytes:
    from safetensors.torch import save

    # safetensors takes neither strides nor two names for one memory.
    content: bytes = save({name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()})
    return content


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / _MANIFEST
    if not path.is_file():
        expected = f"it has no {_MANIFEST}. Pass one that train or import wrote."
        raise DataError(f"{folder} is not a run: {expected}{kept_aside(folder)}")
    try:
        with path.open("rb") as file:
            raw = file.read(_MANIFEST_LIMIT + 1)
        if len(raw) > _MANIFEST_LIMIT:
            raise NotStrict(f"it has more than {_MANIFEST_LIMIT >> 20} MiB")
        manifest = plain_json(raw)
    except (OSError, ValueError, RecursionError) as err:
        raise DataError(f"{path} is not valid JSON ({err}); it is truncated or altered.") from err
    if not isinstance(manifest, dict) or "format_version" not in manifest:
        raise DataError(f"{path} has no format_version; it does not describe a run.")
    version = manifest["format_version"]
    if version != FORMAT_VERSION or isinstance(version, bool):
        raise DataError(
            f"{path} has format version {version!r}; this version of mmkg_sdk reads "
            f"{FORMAT_VERSION}. Use the version that wrote it, or train anew."
        )
    for name, kind in _FIELDS.items():
        if not isinstance(manifest.get(name, ...), kind):
            raise DataError(f"{path}: {name!r} is {manifest.get(name)!r}; the file is incomplete or altered.")
    for name in (*manifest["labels"], *manifest["tensors"], *manifest["files"]):
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise DataError(f"{path} names a file {name!r:.80}, which no run holds; the file is altered.")
    try:
        check_family(manifest["family"])
    except DataError as err:
        raise DataError(f"{path}: {err}") from err
    return manifest


def _json(value: Mapping[str, Any]) -> bytes:
    try:
        return (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8")
    except (TypeError, ValueError) as err:
        raise DataError(f"the run cannot be described in JSON: {err}. Use plain numbers and strings.") from err


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load

    try:
        if path.stat().st_size > _MAPPED_BYTES:
            return map_tensors(path)
        arrays: dict[str, np.ndarray] = dict(sorted(load(path.read_bytes()).items()))
    except Exception as err:
        raise _damaged(path, err) from err
    return arrays


def _damaged(path: Path, err: Exception) -> DataError:
    """One error for all that reading raises: OSError, SafetensorError, KeyError, ValueError."""
    return DataError(f"{path} cannot be read ({type(err).__name__}: {err}). Copy the run again.")


def _versions() -> dict[str, str]:
    """Python and the packages that shape a training."""
    versions = {"python": platform.python_version()}
    for package in ("mmkg_sdk", "numpy", "torch", "safetensors"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions
