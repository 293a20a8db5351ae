"""mmkg-sdk export-triton: two models of one bundle.

`complete` takes and gives ids: complete.onnx, on Triton's ONNX Runtime backend, which needs nothing of ours.
`answers` takes and gives labels: the bundle, opened by this package in Triton's Python backend (python_model.py).
"""

from __future__ import annotations

import shutil
from pathlib import Path

from ...bundle import MANIFEST, Bundle
from ...errors import BundleError, ExportError
from ...files.folders import FolderKind, new_folder
from ...registry import LINK_PREDICTION
from .config import Placing, Tensor, config_text, graph_config

_KIND = FolderKind("model repository", ExportError, "Pass another folder, or remove it.")
# What Triton's Python backend runs.
_MODEL = '''"""Labels in, ranked labels out. Triton's Python must find mmkg_sdk: pip install 'mmkg_sdk[cpu]'."""

from mmkg_sdk.serving.triton.python_model import TritonPythonModel

__all__ = ["TritonPythonModel"]
'''
_MOST_QUERIES = 4096
_INPUTS = (
    Tensor("entity", "TYPE_STRING", (1,)),
    Tensor("relation", "TYPE_STRING", (1,)),
    Tensor("direction", "TYPE_STRING", (1,)),
    Tensor("k", "TYPE_INT32", (1,), optional=True),
)
_OUTPUTS = (
    Tensor("labels", "TYPE_STRING", (-1,)),
    Tensor("ids", "TYPE_INT64", (-1,)),
    Tensor("scores", "TYPE_FP32", (-1,)),
    Tensor("count", "TYPE_INT32", (1,)),
)
_DEVICES = {"KIND_CPU": "cpu", "KIND_GPU": "cuda", "KIND_AUTO": "auto"}


def export_triton(bundle: str | Path, out: str | Path, placing: Placing = Placing()) -> list[str]:  # noqa: B008
    """Write a model repository for Triton.

    Args:
        out: the repository's folder; it appears whole or not at all.
        placing: instances, devices and batching of both models.

    Returns:
        The names of its models: "answers", and "complete" where the bundle has complete.onnx.

    Raises:
        BundleError: the bundle is not whole, or for another task than link prediction.
        ExportError: the folder is taken, or the disk is full.
    """
    opened = Bundle.open(bundle)
    if opened.config.task != LINK_PREDICTION:
        raise BundleError(
            f"{opened.path} is for {opened.config.task}; a model repository is made of a bundle for {LINK_PREDICTION}."
        )
    with new_folder(Path(out), _KIND) as folder:
        _write_answers(opened, folder / "answers", placing)
        names = ["answers"]
        if "complete" in opened.graphs:
            _write_complete(opened, folder / "complete", placing)
            names.append("complete")
    return names


def _write_answers(bundle: Bundle, folder: Path, placing: Placing) -> None:
    version = folder / "1"
    (version / "bundle").mkdir(parents=True)
    for name in (*bundle.manifest["files"], MANIFEST):
        shutil.copyfile(bundle.path / name, version / "bundle" / name)
    Bundle.open(version / "bundle")  # what was copied is what was verified
    (version / "model.py").write_text(_MODEL)
    (folder / "config.pbtxt").write_text(
        config_text(
            "answers",
            "python",
            _INPUTS,
            _OUTPUTS,
            placing,
            max_batch=_MOST_QUERIES,
            parameters={"device": _DEVICES[placing.kind]},
        )
    )


def _write_complete(bundle: Bundle, folder: Path, placing: Placing) -> None:
    version = folder / "1"
    version.mkdir(parents=True)
    for name in sorted(bundle.weight_files("complete")):  # which the graph names, beside itself
        (version / name).write_bytes(bundle.files[name])
    (version / "model.onnx").write_bytes(bundle.files["complete.onnx"])
    (folder / "config.pbtxt").write_text(graph_config(bundle.graphs["complete"], placing))
