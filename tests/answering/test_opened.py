"""What is common to all that opens a bundle: a signature that does not fit its graph is one clear error."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmkg_sdk import BundleError, Linker, Model
from tests.attacks.reseal import change_manifest

Graph = dict[str, Any]


def one_input_more(graph: Graph) -> None:
    graph["inputs"].append({"name": "more", "dtype": "int64", "shape": ["batch"]})


def one_axis_more(graph: Graph) -> None:
    graph["inputs"][1]["shape"].append(1)


def an_axis_of_no_input(graph: Graph) -> None:
    graph["axes"]["elsewhere"] = [1, 2, 3]
    graph["outputs"][0]["shape"][0] = "elsewhere"


def another_output(graph: Graph) -> None:
    graph["outputs"][0]["name"] = "answers"


@pytest.mark.parametrize("backend", ["auto", "onnxruntime", "torch"])
@pytest.mark.parametrize("change", [one_input_more, one_axis_more, an_axis_of_no_input, another_output])
def test_a_changed_signature_is_one_clear_error(
    change: Callable[[Graph], None], backend: str, golden_bundle: Path, tmp_path: Path
) -> None:
    shutil.copytree(golden_bundle, tmp_path / "bundle")
    change_manifest(tmp_path / "bundle", lambda manifest: change(manifest["graphs"]["query_encoder"]))
    with pytest.raises(BundleError, match=r"query_encoder\.onnx has (in|out)puts .*, bundle\.json says"):
        Model.load(tmp_path / "bundle", backend, "cpu")


def test_a_bundle_of_another_task_is_refused_before_a_backend_is_opened(golden_bundle: Path) -> None:
    with pytest.raises(BundleError, match="is for link-prediction; Linker needs a bundle for entity-linking"):
        Linker.load(golden_bundle, "no such backend")
