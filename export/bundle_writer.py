"""Run -> bundle: trace the graphs, encode the table, check parity, write everything at once."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from mmkg_sdk.answering.asked import answers
from mmkg_sdk.answering.opening import answerer_class
from mmkg_sdk.answering.probes import probe_outputs
from mmkg_sdk.backends import open_backend, use_torch_threads
from mmkg_sdk.bundle import FORMAT_VERSION, PRECISIONS, QUANTIZED, Bundle
from mmkg_sdk.bundle.config import FamilyConfig
from mmkg_sdk.bundle.contents import PROBES
from mmkg_sdk.bundle.files import mapped_folder
from mmkg_sdk.bundle.manifest import BUNDLE, write_json, write_manifest
from mmkg_sdk.errors import BackendError, ExportError, missing_package
from mmkg_sdk.families import contract
from mmkg_sdk.families.built import built_model
from mmkg_sdk.families.exported import DTYPES
from mmkg_sdk.files.folders import new_folder
from mmkg_sdk.files.labels import write_labels
from mmkg_sdk.files.tensors import tensors_in, write_tensors
from mmkg_sdk.registry import ENTITY_LINKING, ENTITY_RECOGNITION, LINK_PREDICTION, RELATION_EXTRACTION
from mmkg_sdk.run import Run, RunData

from . import entity_linking, entity_recognition, link_prediction, relation_extraction
from .calibration import RecordingBackend
from .model_card import model_card
from .onnx_graph import Stored, link_weights, write_graph
from .parity import ParityCheck, ParityReport
from .quantization import check_quantizer, quantized, same_weights


class TaskExport(Protocol):
    """The file of a task."""

    def bundle_data(self, run: Run, model: Any) -> RunData:
        """Labels, tensors and files of the bundle; `model` is in float64."""
        ...

    def ask_for_calibration(self, run: Run, model: Any, opened: Any) -> None:
        """Ask an opened bundle queries of the training split; what its graphs are given is recorded."""
        ...

    def parity_checks(self, run: Run, model: Any, opened: Any) -> list[ParityCheck]:
        """How far an opened bundle is from the model."""
        ...


_EXPORTS: dict[str, TaskExport] = {
    LINK_PREDICTION: link_prediction,
    ENTITY_LINKING: entity_linking,
    RELATION_EXTRACTION: relation_extraction,
    ENTITY_RECOGNITION: entity_recognition,
}


def export_bundle(
    run: Run | str | Path,
    out: str | Path,
    *,
    precision: str = "fp32",
    overwrite: bool = False,
    progress: Callable[[str], None] = lambda message: None,
) -> ParityReport:
    """Write a bundle and prove that it answers like the model it was made of.

    Args:
        run: what training or importing wrote.
        out: the bundle's folder; it appears whole or not at all.
        precision: "fp32", "fp16" or "bf16": of the weights that are multiplied; or "int8" or "fp8": what products with
            weights are rounded to in the graphs of large encoders, those of MIMIC and MKGformer (quantization.py).
            Norms, softmax and sums stay float32, and so does the entity table, which is computed in float64.
        overwrite: replace a bundle that stands there.
        progress: is told what happens, one line at a time.

    Raises:
        BackendError: a package is missing.
        ExportError: no weights, unknown precision or one that the family does not have, target taken, disk full, or
            parity beyond tolerance; then nothing is written, and the message holds the table of differences.
    """
    began = time.perf_counter()
    run = run if isinstance(run, Run) else Run.open(run)
    if precision not in PRECISIONS:
        raise ExportError(f"unknown precision {precision!r}; expected one of {', '.join(PRECISIONS)}.")
    large_encoders = contract.graphs_part(run.family).LARGE_ENCODERS
    if precision in QUANTIZED and not large_encoders:
        raise ExportError(
            f"{run.family} has no large encoder, so {precision} would save nothing. Export with --precision fp16."
        )
    for package in ("torch", "onnx", "onnxscript"):
        if find_spec(package) is None:
            raise missing_package(package, "train", "export")
    if precision in QUANTIZED:
        check_quantizer()
    if not run.has_weights:
        raise ExportError(f"{run.folder} has no weights yet. Finish its training: mmkg-sdk train --resume {run.folder}")
    config = contract.config_part(run.family).Config.from_json(run.config).in_precision(precision)
    use_torch_threads()
    model = built_model(run, config).double().eval()
    from safetensors.numpy import save

    task = _EXPORTS[config.task]
    progress("encoding what the model knows, in float64")
    data = task.bundle_data(run, model)
    with new_folder(Path(out), BUNDLE, overwrite=overwrite) as folder:
        _write_data(data, folder)
        graphs = _write_graphs(run, model, config, precision, folder, progress)
        manifest = _manifest(run, config.to_json(), precision, graphs)
        if precision in QUANTIZED:
            _quantize(run, model, manifest, folder, progress)
        progress("checking parity against float64 torch")
        bundle = Bundle.of(folder, manifest, mapped_folder(folder))
        try:
            # Compared are the graphs, and not what stands in for them.
            with answerer_class(bundle)(bundle, open_backend(bundle, device="cpu"), compiled=False) as opened:
                checks = task.parity_checks(run, model, opened)
                report = ParityReport(precision, opened.backend.name, tuple(checks))
                (folder / PROBES).write_bytes(save(probe_outputs(opened.backend, bundle.graphs) | answers(opened)))
        except BackendError as err:
            raise ExportError(f"the exported graphs do not run, so no bundle was written: {err}") from err
        if not report.passed:
            raise ExportError(f"the exported graphs differ from the model; no bundle was written.\n{report}")
        write_json(folder / "parity.json", report.to_json())
        (folder / "MODEL_CARD.md").write_text(model_card(manifest, report), encoding="utf-8")
        # All of it: encoding, tracing, parity, probes.
        manifest["provenance"]["export_seconds"] = round(time.perf_counter() - began, 2)
        write_manifest(folder, manifest)
    return report


def _write_data(data: RunData, folder: Path) -> None:
    """Labels, tensors and further files."""
    for name, labels in data.labels.items():
        write_labels(folder / f"{name}.txt", labels)
    for name, arrays in data.tensors.items():
        with (folder / f"{name}.safetensors").open("wb") as file:
            write_tensors(file, arrays)
    for name, content in data.files.items():
        (folder / name).write_bytes(content)


def _write_graphs(
    run: Run, model: Any, config: FamilyConfig, precision: str, folder: Path, progress: Callable[[str], None]
) -> dict[str, dict[str, Any]]:
    """weights.safetensors and the ONNX files; returns the signature of every graph."""
    from safetensors.torch import save

    parts = contract.graphs_part(run.family)
    specs = parts.graph_specs(config)
    modules = parts.graph_modules(model, DTYPES[precision])
    weights = {
        f"{graph}.{name}": tensor.contiguous()
        for graph, module in modules.items()
        if not specs[graph].baked  # such a graph is made of others and adds no weight
        for name, tensor in module.state_dict().items()
    }
    (folder / "weights.safetensors").write_bytes(save(weights))
    for graph, spec in specs.items():
        progress(f"tracing {graph}")
        write_graph(modules[graph], spec, folder)
    return {graph: spec.to_json() for graph, spec in specs.items()}


def _quantize(run: Run, model: Any, manifest: dict[str, Any], folder: Path, progress: Callable[[str], None]) -> None:
    """Replace the float32 graphs of large encoders, calibrated on the training split, which parity asks last."""
    bundle = Bundle.of(folder, manifest, mapped_folder(folder))
    progress("asking queries of the training split, for the ranges of activations")
    recorder = RecordingBackend.of(bundle)
    with answerer_class(bundle)(bundle, recorder, compiled=False) as opened:
        _EXPORTS[bundle.config.task].ask_for_calibration(run, model, opened)
    for graph in (name for name in contract.graphs_part(run.family).LARGE_ENCODERS if name in bundle.graphs):
        progress(f"quantising {graph}")
        path = folder / bundle.graphs[graph].file_name
        onnx_model = quantized(path, bundle.precision, recorder.given[graph])
        weights = tensors_in(bundle.files["weights.safetensors"], f"{graph}.")
        same = same_weights(onnx_model, weights)
        link_weights(onnx_model, {name: Stored("weights.safetensors", own) for name, own in same.items()}, folder)
        path.write_bytes(onnx_model.SerializeToString())


def _manifest(run: Run, config: dict[str, Any], precision: str, graphs: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {
        "format_version": FORMAT_VERSION,
        "family": run.family,
        "precision": precision,
        "config": config,
        "graphs": graphs,
        "provenance": {
            "data": run.data_name,
            "run": run.folder.resolve().name,
            "source": run.source | {"data": run.data_name},  # a run keeps the path that was passed; a bundle travels
            "training": run.settings,
            "exported": datetime.now(UTC).isoformat(timespec="seconds"),
            "python": platform.python_version(),
            **{package: _version(package) for package in ("mmkg_sdk", "torch", "onnx", "onnxruntime")},
        },
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
