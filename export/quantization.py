"""int8 and fp8: explicit Q/DQ nodes before the products of a graph, by NVIDIA Model Optimizer.

A product of activations with a weight gets a QuantizeLinear and a DequantizeLinear on both sides: the activation with
one scale, the weight with one for each column. Weights stay float32 in the bundle, so the file says what is rounded and
a runtime rounds it: TensorRT folds the weight's pair into 8-bit weights when it loads the graph, ONNX Runtime on a CPU
multiplies the rounded numbers in float32 (onnxruntime_sessions.py says why).
Products of two activations (attention), norms, softmax and sums stay float32.

fp8 is E4M3, which needs compute capability 8.9 for its products; elsewhere the rounding is done and the product is
float32.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from mmkg_sdk.errors import ExportError, missing_package

if TYPE_CHECKING:
    import onnx

Arrays = Mapping[str, NDArray[Any]]


def check_quantizer() -> None:
    """Raises BackendError: NVIDIA Model Optimizer, or what it needs for ONNX, is not installed."""
    try:
        importlib.import_module("modelopt.onnx.quantization")
    except ImportError as err:
        raise missing_package("nvidia-modelopt", "quantize", f"quantisation ({err})") from err


def quantized(model: Path, precision: str, inputs: Sequence[Arrays]) -> onnx.ModelProto:
    """An ONNX file with Q/DQ nodes, weights inside.

    Args:
        model: the file in float32; its weights may lie outside it, in its folder.
        precision: "int8" or "fp8".
        inputs: what the graph is given, by name, from which the ranges of activations are measured; at least one run.

    Raises:
        BackendError: a package is missing.
        ExportError: no inputs, the graph has no product with a weight, or Model Optimizer refuses it.
    """
    if not inputs:
        raise ExportError(
            f"{model.stem} was given nothing that it could be calibrated on: the run has no queries. Import it with "
            "its data, or export with --precision fp16."
        )
    check_quantizer()
    import onnx
    from modelopt.onnx.quantization import fp8, int8

    weighted = _weighted_products(onnx.load(model, load_external_data=False))
    if not weighted:
        raise ExportError(f"{model.stem} has no product with a weight, so there is nothing to quantise in it.")
    # The quantizers themselves: `modelopt.onnx.quantization.quantize` above them leaves products out by patterns of its
    # own, and by the sizes of the runs that it is calibrated with.
    quantize = {"int8": int8, "fp8": fp8}[precision].quantize
    left_behind: list[str] = []  # whole copies of the model in the folder for temporary files
    try:
        found: onnx.ModelProto = quantize(
            str(model),
            calibration_method="max",  # the others cut ranges by statistics, which a hundred runs do not give
            calibration_data_reader=_Reader(inputs),
            calibration_eps=["cpu"],
            op_types_to_quantize=["MatMul"],
            nodes_to_quantize=[f"^{name}$" for name in weighted],
            nodes_to_exclude=[],
            high_precision_dtype="fp32",
            enable_gemv_detection_for_trt=False,
            intermediate_generated_files=left_behind,
            log_level="CRITICAL",
        )
    except Exception as err:  # whatever the tool meets
        raise ExportError(f"{model.stem}: NVIDIA Model Optimizer could not quantise it to {precision}: {err}") from err
    finally:
        for path in left_behind:
            Path(path).unlink(missing_ok=True)
    _leave_others_exact(found, set(weighted))
    for opset in found.opset_import:
        if not opset.domain:  # 19 is 18 with more types, float8 among them
            opset.version = max(opset.version, 19)
    return found


def same_weights(model: onnx.ModelProto, weights: Arrays) -> dict[str, str]:
    """Which weight each matrix of a quantised graph is, by its bytes: {name in the graph: name of the weight}.

    Raises:
        ExportError: a matrix is none of the weights, so that it was changed.
    """
    known = {hashlib.sha256(array.tobytes()).digest(): name for name, array in weights.items()}
    found = {}
    for tensor in model.graph.initializer:
        name = known.get(hashlib.sha256(tensor.raw_data).digest())
        if name is not None:
            found[tensor.name] = name
        elif len(tensor.dims) > 1:
            raise ExportError(f"{tensor.name} is not a weight of the model any more: Model Optimizer changed it.")
    return found


def _weighted_products(model: onnx.ModelProto) -> list[str]:
    """Names of the products of an activation with a weight matrix."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return [node.name for node in model.graph.node if node.op_type == "MatMul" and node.input[1] in weights]


def _leave_others_exact(model: onnx.ModelProto, weighted: set[str]) -> None:
    """Give back what they took before to all nodes but some products, in place.

    Model Optimizer rounds a tensor for all that read it: the sum behind a norm would be of rounded numbers, too.
    """
    made_by = {output: node for node in model.graph.node for output in node.output}
    exact = {
        node.output[0]: made_by[node.input[0]].input[0]
        for node in model.graph.node
        if node.op_type == "DequantizeLinear"
    }
    for node in model.graph.node:
        if node.name not in weighted and node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            for place, name in enumerate(node.input):
                node.input[place] = exact.get(name, name)
    read = {name for node in model.graph.node for name in node.input} | {value.name for value in model.graph.output}
    while unread := [node for node in model.graph.node if not read.intersection(node.output)]:
        for node in unread:
            model.graph.node.remove(node)
        read = {name for node in model.graph.node for name in node.input} | {value.name for value in model.graph.output}


class _Reader:
    """onnxruntime.quantization.CalibrationDataReader, with what Model Optimizer asks of it beside."""

    def __init__(self, inputs: Sequence[Arrays]) -> None:
        self._inputs, self._next = inputs, 0

    def get_next(self) -> Arrays | None:
        if self._next == len(self._inputs):
            return None
        self._next += 1
        return self._inputs[self._next - 1]

    def get_first(self) -> Arrays:
        return self._inputs[0]

    def rewind(self) -> None:
        self._next = 0
