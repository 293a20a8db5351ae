"""mmkg-sdk export-triton: models of one bundle.

`complete` takes and gives ids: complete.onnx, on Triton's ONNX Runtime backend, which needs nothing of ours.
`complete_labels` takes and gives labels: an ensemble of `to_ids`, `complete` and `to_labels` (label_models.py).
`answers` takes and gives labels: the bundle, opened by this package in Triton's Python backend (python_model.py).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ...bundle import MANIFEST, Bundle
from ...errors import BundleError, ExportError
from ...files.folders import FolderKind, new_folder
from ...files.regular import open_regular
from ...registry import LINK_PREDICTION
from .config import (
    Placing,
    Step,
    Tensor,
    batch_of,
    config_text,
    ensemble_config,
    graph_config,
    graph_tensors,
    placed,
)

_KIND = FolderKind("model repository", ExportError, "Pass another folder, or remove it.")
# What Triton's Python backend runs.
_MODEL = '''"""Triton's Python must find mmkg_sdk: pip install 'mmkg_sdk[cpu]'."""

from mmkg_sdk.serving.triton.{module} import {name} as TritonPythonModel

__all__ = ["TritonPythonModel"]
'''
# What engines of TensorRT for RTX begin with.
_RTX = b"vtrt"
_ENSEMBLE = "complete_labels"
_MOST_QUERIES = 4096
_QUERIES = tuple(Tensor(name, "TYPE_STRING", (1,)) for name in ("entity", "relation", "direction"))
_K = Tensor("k", "TYPE_INT32", (1,), optional=True)
_OUTPUTS = (
    Tensor("labels", "TYPE_STRING", (-1,)),
    Tensor("ids", "TYPE_INT64", (-1,)),
    Tensor("scores", "TYPE_FP32", (-1,)),
    Tensor("count", "TYPE_INT32", (1,)),
)
_DEVICES = {"KIND_CPU": "cpu", "KIND_GPU": "cuda", "KIND_AUTO": "auto"}


def export_triton(
    bundle: str | Path,
    out: str | Path,
    placing: Placing = Placing(),  # noqa: B008
    *,
    plan: str | Path | None = None,
) -> list[str]:
    """Write a model repository for Triton.

    Args:
        out: the repository's folder; it appears whole or not at all.
        placing: instances, devices and batching of the models.
        plan: an engine of complete.onnx, built by TensorRT for the GPU that serves, which takes its place: with one
            optimization profile, from the least to the largest batch of the graph spec.

    Returns:
        The names of its models: "answers", and where the bundle has complete.onnx "complete", "complete_labels", and
        the two others that it is made of.

    Raises:
        BundleError: the bundle is not whole, or for another task than link prediction.
        ExportError: the folder is taken, the disk is full, or the plan cannot be served.
    """
    opened = Bundle.open(bundle)
    if opened.config.task != LINK_PREDICTION:
        raise BundleError(
            f"{opened.path} is for {opened.config.task}; a model repository is made of a bundle for {LINK_PREDICTION}."
        )
    engine = None if plan is None else Path(plan)
    if engine is not None:
        _check_plan(engine, opened, placing)
    with new_folder(Path(out), _KIND) as folder:
        _write_answers(opened, folder / "answers", placing)
        if "complete" in opened.graphs:
            _write_complete(opened, folder / "complete", placing, engine)
            _write_ensemble(opened, folder, placing)
        return sorted(one.name for one in folder.iterdir())


def _write_answers(bundle: Bundle, folder: Path, placing: Placing) -> None:
    version = folder / "1"
    (version / "bundle").mkdir(parents=True)
    for name in (*bundle.manifest["files"], MANIFEST):
        shutil.copyfile(bundle.path / name, version / "bundle" / name)
    Bundle.open(version / "bundle")  # what was copied is what was verified
    parameters = {"device": _DEVICES[placing.kind]}
    _write_python(folder, "python_model.Answers", (*_QUERIES, _K), _OUTPUTS, placing, _MOST_QUERIES, parameters)


def _check_plan(path: Path, bundle: Bundle, placing: Placing) -> None:
    if "complete" not in bundle.graphs:
        raise ExportError(f"{bundle.path} has no complete.onnx, which a plan is made of. Leave the plan out.")
    if placing.kind == "KIND_CPU":
        raise ExportError(f"{path} is for a GPU, and instances were to run on CPUs. Leave out one of the two.")
    try:
        with open_regular(path) as file:
            start = file.read(len(_RTX))
    except OSError as err:
        raise ExportError(f"cannot read {path}: {err.strerror}. Pass an engine of TensorRT.") from err
    if start in (b"", _RTX):
        what = "an engine of TensorRT for RTX" if start else "empty"
        raise ExportError(f"{path} is {what}; Triton opens engines that TensorRT built.")


def _write_complete(bundle: Bundle, folder: Path, placing: Placing, engine: Path | None) -> None:
    version = folder / "1"
    version.mkdir(parents=True)
    if engine is None:
        for name in sorted(bundle.weight_files("complete")):  # which the graph names, beside itself
            (version / name).write_bytes(bundle.files[name])
        (version / "model.onnx").write_bytes(bundle.files["complete.onnx"])
    else:
        shutil.copyfile(engine, version / "model.plan")
    backend = "onnxruntime" if engine is None else "tensorrt"
    (folder / "config.pbtxt").write_text(graph_config(bundle.graphs["complete"], backend, placing))


def _write_ensemble(bundle: Bundle, repository: Path, placing: Placing) -> None:
    """`complete` in labels, and the two models that this takes beside it."""
    spec = bundle.graphs["complete"]
    most = batch_of(spec).max
    (ids, scores) = graph_tensors(spec)[1]
    asked = {name: Tensor(f"{name}_id", "TYPE_INT64", (1,)) for name in ("entity", "relation", "direction")}
    labels = Tensor("labels", "TYPE_STRING", ids.dims)
    on_cpu = replace(placing, kind="KIND_CPU")
    for name, model, inputs, outputs, files in (
        ("to_ids", "label_models.ToIds", _QUERIES, tuple(asked.values()), ("entities.txt", "relations.txt")),
        ("to_labels", "label_models.ToLabels", (ids,), (labels,), ("entities.txt",)),
    ):
        _write_python(repository / name, model, inputs, outputs, on_cpu, most)
        for file in files:
            (repository / name / "1" / file).write_bytes(bundle.files[file])
    steps = [
        Step("to_ids", {one.name: one.name for one in _QUERIES}, {one.name: one.name for one in asked.values()}),
        Step(
            "complete", {name: one.name for name, one in asked.items()}, {one.name: one.name for one in (ids, scores)}
        ),
        Step("to_labels", {ids.name: ids.name}, {labels.name: labels.name}),
    ]
    folder = repository / _ENSEMBLE
    (folder / "1").mkdir(parents=True)  # an ensemble has a version, too, with nothing in it
    (folder / "config.pbtxt").write_text(ensemble_config(_ENSEMBLE, _QUERIES, (labels, ids, scores), steps, most))


def _own(tensors: Iterable[Tensor]) -> dict[str, str]:
    """Tensors that an ensemble calls by their own names."""
    return {one.name: one.name for one in tensors}


def _write_python(
    folder: Path,
    model: str,
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    placing: Placing,
    most: int,
    parameters: Mapping[str, str] | None = None,
) -> None:
    """A model of the Python backend: a class of this room."""
    module, _, name = model.partition(".")
    (folder / "1").mkdir(parents=True, exist_ok=True)
    (folder / "1" / "model.py").write_text(_MODEL.format(module=module, name=name))
    text = config_text(
        folder.name, 'backend: "python"', inputs, outputs, placed(placing), max_batch=most, parameters=parameters
    )
    (folder / "config.pbtxt").write_text(text)
