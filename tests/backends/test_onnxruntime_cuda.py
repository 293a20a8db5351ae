"""What surrounds ONNX Runtime's CUDA provider, as far as it goes without a GPU."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from mmkg_sdk import BackendError
from mmkg_sdk.backends import gpus, onnxruntime_cuda
from mmkg_sdk.backends import onnxruntime as backend_module
from mmkg_sdk.backends.onnxruntime import OnnxRuntimeBackend
from mmkg_sdk.backends.onnxruntime_cuda import (
    element_dtype,
    load_libraries,
    nodes_on_cpu,
    record_providers,
    refuse_work_on_cpu,
)
from mmkg_sdk.backends.onnxruntime_sessions import session_options
from mmkg_sdk.bundle import Bundle


@pytest.fixture(scope="module")
def session(golden_bundle: Path) -> onnxruntime.InferenceSession:
    """The entity encoder, all of it on the CPU provider."""
    options = session_options(1)
    record_providers(options)
    weights = Bundle.open(golden_bundle).files["weights.safetensors"]
    options.add_external_initializers_from_files_in_memory(["weights.safetensors"], [weights], [len(weights)])
    model = (golden_bundle / "entity_encoder.onnx").read_bytes()
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def test_nodes_on_the_cpu_are_named_and_those_on_shapes_are_not(session: onnxruntime.InferenceSession) -> None:
    parts = session.get_provider_graph_assignment_info()
    everything = [node.op_type for part in parts for node in part.get_nodes()]
    assert "Shape" in everything, "the graph has arithmetic on shapes"
    found = [node.split()[0] for node in nodes_on_cpu(session)]
    assert "MatMul" in found or "FusedMatMul" in found
    assert not {"Shape", "Concat", "Gather"} & set(found)
    assert sorted(found) == sorted(op for op in everything if op not in onnxruntime_cuda._ON_SHAPES)


def test_work_on_the_cpu_is_refused_with_names(session: onnxruntime.InferenceSession) -> None:
    with pytest.raises(BackendError, match=r"^entity_encoder: this .* has no CUDA kernel for .*'.* and \d+ more"):
        refuse_work_on_cpu(session, "entity_encoder")


@dataclass(frozen=True)
class Node:
    op_type: str
    name: str = "n"


@dataclass(frozen=True)
class Part:
    ep_name: str
    nodes: tuple[Node, ...]

    def get_nodes(self) -> tuple[Node, ...]:
        return self.nodes


class AsOnAGpu:
    """A session whose products a GPU would have, and whose shapes stayed."""

    def get_provider_graph_assignment_info(self) -> list[Part]:
        return [
            Part("CUDAExecutionProvider", (Node("MatMul"), Node("Gather"))),
            Part("CPUExecutionProvider", (Node("Gather"), Node("Concat"))),
        ]


def test_shapes_on_the_cpu_are_no_reason_to_refuse() -> None:
    refuse_work_on_cpu(AsOnAGpu(), "query_encoder")


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.int64, np.int32, np.bool_, np.uint8])
def test_the_dtype_of_a_value_is_numpys(dtype: type) -> None:
    value = onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros(2, dtype))
    assert element_dtype(value.data_type()) == np.dtype(dtype)
    with pytest.raises(TypeError, match="float4e2m1"):
        element_dtype("tensor(float4e2m1)")


def test_libraries_that_do_not_load_are_told_and_not_printed(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The package for GPUs prints, on a machine without CUDA, the two kinds of line that are here."""

    def preload() -> None:
        print("Failed to load libcublas.so.13: cannot open shared object file")
        print("Please follow https://onnxruntime.ai/docs/install/#cuda-and-cudnn to install CUDA.")

    monkeypatch.setattr(onnxruntime, "preload_dlls", preload)
    load_libraries.cache_clear()
    try:
        assert load_libraries() == "Failed to load libcublas.so.13: cannot open shared object file. "
    finally:
        load_libraries.cache_clear()
    assert capfd.readouterr().out == ""


def test_the_package_for_gpus_on_a_machine_without_one_runs_on_the_cpu(
    monkeypatch: pytest.MonkeyPatch, golden_bundle: Path
) -> None:
    monkeypatch.setattr(backend_module, "_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    for nothing in (True, False):
        monkeypatch.setattr(backend_module, "has_no_gpu", lambda names, nothing=nothing: nothing)
        assert OnnxRuntimeBackend.device_for("auto") == ("cpu" if nothing else "cuda")
        assert OnnxRuntimeBackend.device_for("cuda:1") == (None if nothing else "cuda:1")
    monkeypatch.setattr(backend_module, "has_no_gpu", lambda names: True)
    with pytest.raises(BackendError, match="device 'cuda' asked for, no NVIDIA GPU found here"):
        OnnxRuntimeBackend.open(Bundle.open(golden_bundle), "cuda", None)


@pytest.mark.parametrize(
    ("platform", "entries", "names", "expected"),
    [
        ("linux", ["null", "zero"], gpus.NVIDIA, True),
        ("linux", ["null", "nvidia0"], gpus.NVIDIA, False),
        ("linux", ["dxg"], gpus.NVIDIA, False),
        ("linux", ["kfd"], gpus.NVIDIA, True),
        ("linux", ["kfd"], (*gpus.NVIDIA, *gpus.AMD), False),
        ("win32", [], gpus.NVIDIA, False),
    ],
)
def test_a_gpu_is_known_by_the_devices_of_its_driver(
    platform: str, entries: list[str], names: tuple[str, ...], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", platform)
    monkeypatch.setattr("os.listdir", lambda path: entries)
    assert gpus.has_no_gpu(names) is expected
