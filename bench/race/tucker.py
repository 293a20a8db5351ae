"""The Tucker product by the compiled kernel and its peers: who takes part, and on what.

    out[b] = sum over i, j of relation[b, i] context[b, j] core[i, j] + relation[b] relation_weight + shift

The exported graph multiplies the relation with the core first, which makes a [batch, width, width] tensor, and then the
context with it. Written as one product of the outer products of relation and context with the core, [batch, width^2] x
[width^2, width], it is a plain matrix product. Both are raced.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmkg_sdk.backends.base import parse_device

from ..machine.sessions import open_nodes
from ..machine.work import Work
from .exact_answers import COMPARED_QUERIES
from .rankers import PROCESSOR

Array = NDArray[np.float32]
# context, relation: float32 [batch, width] -> float32 [batch, width].
Product = Callable[[Array, Array], Array]
# core [width, width, width], relation_weight [width, width], shift [width], float32.
Weights = tuple[Array, Array, Array]


@dataclass(frozen=True)
class TuckerPoint:
    """So many pairs of vectors at once."""

    width: int
    batch: int
    seed: int = 0

    def work(self, number_bytes: int, arithmetic: str) -> Work:
        """Of one batch: 2 B d^3 for the core and 2 B d^2 each for the context and the relation's own term; bytes of
        the weights, read once, and of the vectors."""
        flop = 2 * self.batch * self.width**2 * (self.width + 2)
        read = number_bytes * self.width**2 * (self.width + 1) + 3 * 4 * self.batch * self.width
        return Work(flop, read, arithmetic)


@dataclass(frozen=True)
class TuckerWay:
    """One way to multiply.

    Attributes:
        open: from core, relation_weight, shift, threads, device. Raises ImportError or MmkgError: it cannot run here.
        number_bytes: of a weight as it is read.
        arithmetic: the ceiling (ceilings.py) that its products are held against.
        tensors: how many [batch, width, width] float32 tensors it makes.
        devices: kinds of devices that it runs on.
    """

    open: Callable[[Array, Array, Array, int, str], Product]
    number_bytes: int = 4
    arithmetic: str = "float32"
    tensors: int = 0
    devices: tuple[str, ...] = PROCESSOR

    def absence(self, point: TuckerPoint, device: str) -> str | None:
        """Why it cannot take part; None if it can."""
        return None if parse_device(device)[0] in self.devices else f"does not run on {device}"

    def needed_bytes(self, point: TuckerPoint) -> float:
        """Of memory: the weights as made, as kept and as packed, and the tensors."""
        return 4.0 * point.width**2 * (4 * point.width + self.tensors * point.batch)


def tucker_weights(point: TuckerPoint) -> Weights:
    """Random weights that keep products near 1, equal in every process."""
    width, random = point.width, np.random.default_rng([point.seed, 0])
    core = random.standard_normal((width, width, width), np.float32) / np.float32(width)
    weight = random.standard_normal((width, width), np.float32) / np.float32(np.sqrt(width))
    return core, weight, random.standard_normal(width, np.float32)


def tucker_inputs(point: TuckerPoint, number: int) -> tuple[Array, Array]:
    """Context and relation of batch `number`, float32 [batch, width]."""
    random = np.random.default_rng([point.seed, 1 + number])
    context, relation = (random.standard_normal((point.batch, point.width), np.float32) for _ in range(2))
    return context, relation


def tucker_errors(weights: Weights, asked: tuple[Array, Array], found: Array) -> dict[str, Any]:
    """The largest difference from float64 in the first rows, as a share of their root mean square."""
    core, weight, shift = (part.astype(np.float64) for part in weights)
    context, relation = (part[:COMPARED_QUERIES].astype(np.float64) for part in asked)
    expected = np.stack([c @ np.tensordot(r, core, 1) for c, r in zip(context, relation, strict=True)])
    expected += relation @ weight + shift
    error = np.abs(found[: len(expected)] - expected).max() / np.sqrt(np.mean(expected**2))
    return {"agreement": None, "max_score_error": float(error), "details": {}}


def _compiled(kind: str) -> Callable[..., Product]:
    def made(core: Array, weight: Array, shift: Array, threads: int, device: str) -> Product:
        from mmkg_sdk.kernels.tucker import TuckerCore

        product: Product = TuckerCore(_stored(core, kind), _stored(weight, kind), shift, threads).apply
        return product

    return made


def _stored(array: Array, kind: str) -> NDArray[Any]:
    """In the precision of a bundle; bfloat16 as its bits, rounded to nearest, ties to even."""
    if kind != "bfloat16":
        return array.astype(kind, copy=False)
    bits = array.view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def _onnxruntime(outer: bool) -> Callable[..., Product]:
    def made(core: Array, weight: Array, shift: Array, threads: int, device: str) -> Product:
        from onnx import TensorProto, helper

        width = len(core)
        if outer:
            table = core.reshape(width * width, width)
            nodes = [
                helper.make_node("Unsqueeze", ["relation", "last"], ["column"]),
                helper.make_node("Unsqueeze", ["context", "middle"], ["row"]),
                helper.make_node("Mul", ["column", "row"], ["pairs"]),
                helper.make_node("Reshape", ["pairs", "flat"], ["outer"]),
                helper.make_node("MatMul", ["outer", "core"], ["mapped"]),
            ]
        else:
            table = core.reshape(width, width * width)
            nodes = [
                helper.make_node("MatMul", ["relation", "core"], ["matrices"]),
                helper.make_node("Reshape", ["matrices", "square"], ["matrix"]),
                helper.make_node("Unsqueeze", ["context", "middle"], ["row"]),
                helper.make_node("MatMul", ["row", "matrix"], ["rows"]),
                helper.make_node("Squeeze", ["rows", "middle"], ["mapped"]),
            ]
        nodes += [
            helper.make_node("MatMul", ["relation", "weight"], ["own"]),
            helper.make_node("Add", ["own", "shift"], ["shifted"]),
            helper.make_node("Add", ["mapped", "shifted"], ["out"]),
        ]
        numbers = {"core": table, "weight": weight, "shift": shift}
        shapes = {"middle": [1], "last": [2], "flat": [-1, width * width], "square": [-1, width, width]}
        constants = [
            helper.make_tensor(name, TensorProto.FLOAT, array.shape, array.tobytes(), raw=True)
            for name, array in numbers.items()
        ]
        constants += [
            helper.make_tensor(name, TensorProto.INT64, (len(shape),), shape)
            for name, shape in shapes.items()
            if any(name in node.input for node in nodes)
        ]
        vectors = {
            name: helper.make_tensor_value_info(name, TensorProto.FLOAT, ("batch", width))
            for name in ("context", "relation", "out")
        }
        inputs = [vectors["context"], vectors["relation"]]
        session = open_nodes(nodes, inputs, [vectors["out"]], constants, device, threads)

        def product(context: Array, relation: Array) -> Array:
            found: Array = session.run(["out"], {"context": context, "relation": relation})[0]
            return found

        return product

    return made


def _torch(core: Array, weight: Array, shift: Array, threads: int, device: str) -> Product:
    import torch

    torch.set_num_threads(threads)
    width = len(core)
    flat, own, constant = (torch.from_numpy(part).to(device) for part in (core.reshape(width, -1), weight, shift))

    def product(context: Array, relation: Array) -> Array:
        with torch.inference_mode():
            given, asked = (torch.from_numpy(part).to(device) for part in (context, relation))
            matrices = (asked @ flat).view(-1, width, width)
            found: Array = (torch.bmm(given[:, None], matrices)[:, 0] + asked @ own + constant).cpu().numpy()
        return found

    return product


def _numpy(core: Array, weight: Array, shift: Array, threads: int, device: str) -> Product:
    width = len(core)
    flat = core.reshape(width, -1)

    def product(context: Array, relation: Array) -> Array:
        matrices = (relation @ flat).reshape(-1, width, width)
        found: Array = np.matmul(context[:, None], matrices)[:, 0] + relation @ weight + shift
        return found

    return product


# The first one is what the others are compared with.
TUCKER_WAYS: dict[str, TuckerWay] = {
    "compiled kernel": TuckerWay(_compiled("float32")),
    # Expanded to float32 and multiplied as such.
    "compiled kernel, float16 core": TuckerWay(_compiled("float16"), 2),
    "compiled kernel, bfloat16 core": TuckerWay(_compiled("bfloat16"), 2),
    "ONNX Runtime, as exported": TuckerWay(_onnxruntime(outer=False), tensors=2),
    "ONNX Runtime, one product": TuckerWay(_onnxruntime(outer=True), tensors=2),
    "torch": TuckerWay(_torch, tensors=2),
    "numpy": TuckerWay(_numpy, tensors=2),
}
