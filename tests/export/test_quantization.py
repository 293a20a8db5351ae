"""int8 and fp8: what is rounded, and to what; parity; and what is refused.

Rounding is checked against the definition of symmetric quantisation, on ONNX Runtime's CPU provider, which multiplies
what was rounded in float32. No product in 8 bits of a GPU has been run.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from mmkg_sdk import load
from mmkg_sdk.answering.verification import verify_bundle
from mmkg_sdk.backends.tensorrt.bindings import load_bindings
from mmkg_sdk.backends.tensorrt.build import build_engine
from mmkg_sdk.backends.tensorrt.machine import Machine
from mmkg_sdk.backends.tensorrt.options import BuildOptions
from mmkg_sdk.backends.tensorrt.profiles import Range
from mmkg_sdk.bundle import QUANTIZED, Bundle
from mmkg_sdk.errors import BackendError, ExportError
from mmkg_sdk.export import export_bundle
from mmkg_sdk.export.quantization import quantized, same_weights
from mmkg_sdk.run import Run
from tests.backends.tensorrt.plans import plan_header

pytest.importorskip("modelopt.onnx.quantization", reason="NVIDIA Model Optimizer is not installed")

# Family, golden case, precision, its large encoders.
CASES = [
    ("mimic", "base", "int8", ("text_encoder", "image_encoder")),
    ("mkgformer", "lp_pretrain_small", "int8", ("image_encoder", "query_encoder")),
    ("mkgformer", "mre_small", "fp8", ("image_encoder", "relation_encoder")),
    ("mkgformer", "mner_small", "fp8", ("image_encoder", "tag_encoder")),
]


def initializers(model: onnx.ModelProto) -> dict[str, NDArray[Any]]:
    return {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def pairs_before(model: onnx.ModelProto, product: onnx.NodeProto) -> list[onnx.NodeProto]:
    """The QuantizeLinear nodes whose numbers a product multiplies; empty where it multiplies others."""
    made_by = {output: node for node in model.graph.node for output in node.output}
    found = []
    for name in product.input:
        dequantize = made_by.get(name)
        if dequantize is not None and dequantize.op_type == "DequantizeLinear":
            found.append(made_by[dequantize.input[0]])
    return found


@pytest.mark.parametrize(("family", "case", "precision", "graphs"), CASES, ids=["-".join(case[1:3]) for case in CASES])
def test_products_with_weights_are_rounded_and_no_others(
    family: str, case: str, precision: str, graphs: tuple[str, ...], golden_bundles: Callable[..., Path]
) -> None:
    folder = golden_bundles(case, precision, family)
    assert json.loads((folder / "parity.json").read_text())["passed"]
    for file in folder.glob("*.onnx"):
        model = onnx.load(file)
        arrays = initializers(model)
        rounded = 0
        for node in model.graph.node:
            if node.op_type != "MatMul":
                assert not pairs_before(model, node) or node.op_type == "DequantizeLinear", node.op_type
                continue
            quantizers = pairs_before(model, node)
            if not quantizers:
                continue
            rounded += 1
            activation, weight = quantizers
            assert arrays[activation.input[1]].ndim == 0
            # One scale for each column. int8: its largest weight becomes 127. fp8, whose steps grow with the numbers:
            # it stays below the largest number, 448, and far above the smallest normal one, 1 / 64.
            largest = np.abs(arrays[weight.input[0]]).max(axis=0) / arrays[weight.input[1]]
            low, high = {"int8": (126.99, 127.01), "fp8": (16, 448)}[precision]
            assert largest.min() >= low
            assert largest.max() <= high
        with_weights = sum(node.op_type == "MatMul" and node.input[1] in arrays for node in model.graph.node)
        assert (rounded > 0) == (file.stem in graphs), file.name
        assert file.stem not in graphs or with_weights == 0, f"{file.name}: {with_weights} products are not rounded"
        # Matrices lie in weights.safetensors; what the file holds itself is scales.
        bare = onnx.load(file, load_external_data=False)
        assert all(len(tensor.dims) < 2 for tensor in bare.graph.initializer if not tensor.external_data), file.name


def test_rounding_is_that_of_the_definition(golden_bundles: Callable[..., Path], tmp_path: Path) -> None:
    """The first product of MIMIC's image tower, int8, against numpy."""
    import onnxruntime

    folder = golden_bundles("base", "int8", "mimic")
    model = onnx.load(folder / "image_encoder.onnx")
    product = next(node for node in model.graph.node if node.op_type == "MatMul")
    activation, weight = pairs_before(model, product)
    for name in (activation.input[0], product.output[0]):
        model.graph.output.add(name=name)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    shape = [2, *session.get_inputs()[0].shape[1:]]
    pixels = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    *_, given, found = session.run(None, {"pixel_values": pixels})
    arrays = initializers(model)

    def rounded(values: NDArray[Any], scale: NDArray[Any]) -> NDArray[Any]:
        whole: NDArray[Any] = np.clip(np.rint(values / scale), -128, 127)
        return whole * scale.astype(np.float64)

    left = rounded(given, arrays[activation.input[1]])
    right = rounded(arrays[weight.input[0]], arrays[weight.input[1]])
    np.testing.assert_allclose(found, left @ right, rtol=1e-4, atol=1e-4)
    assert np.abs(found - given @ arrays[weight.input[0]].astype(np.float64)).max() > 1e-3, "nothing was rounded"


@pytest.mark.parametrize(("family", "case", "precision"), [CASES[0][:3], CASES[2][:3]], ids=QUANTIZED)
def test_a_quantized_bundle_answers_and_verifies(
    family: str, case: str, precision: str, golden_bundles: Callable[..., Path]
) -> None:
    folder = golden_bundles(case, precision, family)
    assert verify_bundle(folder)["passed"]
    with load(folder) as opened:
        assert opened.backend.name == "onnxruntime"
    with pytest.raises(BackendError, match=f"torch does not run bundles in {precision}"):
        load(folder, "torch")


@pytest.mark.parametrize(("family", "case", "precision", "graphs"), CASES, ids=["-".join(case[1:3]) for case in CASES])
def test_quantized_graphs_build_as_engines(
    family: str, case: str, precision: str, graphs: tuple[str, ...], golden_bundles: Callable[..., Path]
) -> None:
    """With TensorRT for RTX, on the CPU. That an engine multiplies in 8 bits, only a GPU could show."""
    pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT for RTX is not installed")
    bundle = Bundle.open(golden_bundles(case, precision, family))
    for graph in graphs:
        axes = bundle.graphs[graph].axes()
        one = BuildOptions({axis.name: (Range(axis.min, axis.typical, axis.max),) for axis in axes.values()})
        built = build_engine(load_bindings("tensorrt-rtx"), bundle, graph, one, Machine())
        assert plan_header(built.plan).size == len(built.plan)


def test_a_family_without_large_encoders_is_refused(golden_run: Run, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="mygo has no large encoder"):
        export_bundle(golden_run, tmp_path / "bundle", precision="int8")
    assert not (tmp_path / "bundle").exists()


def test_without_model_optimizer_the_command_that_installs_it_is_named(
    golden_bundles: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = golden_bundles("base", "int8", "mimic").parent / "run"
    monkeypatch.setitem(sys.modules, "modelopt.onnx.quantization", None)
    with pytest.raises(BackendError, match=r"pip install 'mmkg_sdk\[quantize\]'"):
        export_bundle(run, tmp_path / "bundle", precision="int8")
    assert not (tmp_path / "bundle").exists()


def test_a_graph_that_was_asked_nothing_cannot_be_calibrated(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"image_encoder was given nothing .* the run has no queries"):
        quantized(tmp_path / "image_encoder.onnx", "int8", [])


def test_a_graph_without_weights_has_nothing_to_quantise(tmp_path: Path) -> None:
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    x, y = (onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [2, 3]) for name in "xy")
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([node], "g", [x], [y])), tmp_path / "plain.onnx")
    with pytest.raises(ExportError, match="no product with a weight"):
        quantized(tmp_path / "plain.onnx", "int8", [{"x": np.ones((2, 3), np.float32)}])


@pytest.mark.parametrize("precision", QUANTIZED)
def test_nothing_of_the_model_is_left_among_temporary_files(
    precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    weight = onnx.numpy_helper.from_array(np.eye(32, dtype=np.float32), "w")
    x, y = (onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [2, 32]) for name in "xy")
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("MatMul", ["x", "w"], ["y"], "product")], "g", [x], [y], [weight]
    )
    opsets = [onnx.helper.make_opsetid("", 18)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=10), tmp_path / "one.onnx")
    model = quantized(tmp_path / "one.onnx", precision, [{"x": np.ones((2, 32), np.float32)}])
    assert [node.op_type for node in model.graph.node].count("DequantizeLinear") == 2
    assert not list((tmp_path / "temporary").iterdir())


def test_a_changed_weight_is_noticed() -> None:
    weight = np.arange(6, dtype=np.float32).reshape(2, 3)
    model = onnx.ModelProto()
    model.graph.initializer.append(onnx.numpy_helper.from_array(weight, "w_1"))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(0.5, np.float32), "w_scale"))
    assert same_weights(model, {"w": weight}) == {"w_1": "w"}
    model.graph.initializer.append(onnx.numpy_helper.from_array(weight + 1, "v"))
    with pytest.raises(ExportError, match="v is not a weight of the model any more"):
        same_weights(model, {"w": weight})
