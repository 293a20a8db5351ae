"""What measures the ceilings: `python -m mmkg_sdk.bench.ceilings_worker JOB`, with threads and seconds in JOB.

One request, an empty JSON object, and one reply, `Ceilings.to_json()`; {"ready": true} before it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from mmkg_sdk.errors import MmkgError
from mmkg_sdk.kernels import Scan
from mmkg_sdk.scores import InnerProduct

from .ceilings import ARITHMETIC, Ceilings, Rate
from .environment import cpu_flags

# Beyond any cache, in float32 numbers.
_READ = 1 << 27
# Sides of the products: the smaller ones fit a second-level cache, the larger ones keep every thread busy.
_SIDES = (1024, 1536)
# Queries, rows and width of a ranking whose first pass is hardly more than its product.
_RANKING = (256, 16384, 256)
# One of these is what makes the arithmetic more than an emulation.
_INSTRUCTIONS = {
    "float32": (),
    "bfloat16": ("avx512_bf16", "amx_bf16", "bf16"),
    "int8": ("avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"),
}
_MIN_SAMPLES = 3

# What is timed, and how many operations it is.
Way = tuple[Callable[[], object], float]


def main() -> None:
    """Measure when asked."""
    # Libraries that print must not write into the reply.
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    job = json.loads(sys.argv[1])
    for answer in ({"ready": True}, None):
        found = answer or _measured(job["threads"], job["seconds"]).to_json()
        channel.write(json.dumps(found) + "\n")
        channel.flush()
        if answer:
            sys.stdin.readline()


def _measured(threads: int, seconds: float) -> Ceilings:
    return Ceilings(_reading(threads, seconds), {kind: _arithmetic(kind, threads, seconds) for kind in ARITHMETIC})


def _reading(threads: int, seconds: float) -> Rate:
    parts = np.array_split(np.ones(_READ, np.float32), threads)
    with ThreadPoolExecutor(threads) as pool:
        best = _best(lambda: list(pool.map(np.max, parts)), seconds)
    return Rate(round(4 * _READ / best / 1e9, 2), f"the largest of {_READ >> 20} Mi float32 numbers")


def _arithmetic(kind: str, threads: int, seconds: float) -> Rate:
    wanted = _INSTRUCTIONS[kind]
    if wanted and not set(wanted) & set(cpu_flags()):
        return Rate(None, f"this processor has none of {', '.join(wanted)}")
    found = []
    for name, make in _WAYS[kind].items():
        try:
            for run, operations in make(threads):
                found.append((operations / _best(run, seconds) / 1e9, name))
        except (ImportError, MmkgError, RuntimeError, AttributeError):
            continue  # not installed, or has no such arithmetic here
    if not found:
        return Rate(None, f"none of {', '.join(_WAYS[kind])} is to be had here")
    rate, name = max(found)
    return Rate(round(rate, 2), name)


def _best(run: Callable[[], object], seconds: float) -> float:
    run()
    samples: list[float] = []
    began = time.perf_counter()
    while len(samples) < _MIN_SAMPLES or time.perf_counter() - began < seconds:
        start = time.perf_counter()
        run()
        samples.append(time.perf_counter() - start)
    return min(samples)


def _numpy(threads: int) -> Iterator[Way]:
    for side in _SIDES:
        square = np.random.default_rng(0).standard_normal((side, side), np.float32)
        yield lambda square=square: square @ square, 2.0 * side**3  # type: ignore[misc]


def _torch(kind: str) -> Callable[[int], Iterator[Way]]:
    def ways(threads: int) -> Iterator[Way]:
        import torch

        torch.set_num_threads(threads)
        for side in _SIDES:
            square = torch.randn(side, side)
            if kind == "int8":
                whole = (32 * square).clamp(-127, 127).to(torch.int8)
                yield lambda whole=whole: torch._int_mm(whole, whole), 2.0 * side**3  # type: ignore[misc]
            else:
                taken = square.to(getattr(torch, kind))
                yield lambda taken=taken: taken @ taken, 2.0 * side**3  # type: ignore[misc]

    return ways


def _onnxruntime(kind: str) -> Callable[[int], Iterator[Way]]:
    def ways(threads: int) -> Iterator[Way]:
        import onnxruntime
        from onnx import TensorProto, helper

        from mmkg_sdk.backends.onnxruntime import session_options

        random = np.random.default_rng(0)
        whole = kind == "int8"
        operator, result = ("MatMulInteger", TensorProto.INT32) if whole else ("MatMul", TensorProto.FLOAT)
        # uint8 times int8 is what the processor's instruction takes.
        types = (TensorProto.UINT8, TensorProto.INT8) if whole else (TensorProto.FLOAT, TensorProto.FLOAT)
        for side in _SIDES:
            weight = random.standard_normal((side, side), np.float32)
            given = weight
            if whole:
                weight = np.clip(32 * weight, -127, 127).astype(np.int8)
                given = weight.astype(np.uint8)
            graph = helper.make_graph(
                [helper.make_node(operator, ["given", "weight"], ["product"])],
                "product",
                [helper.make_tensor_value_info("given", types[0], (side, side))],
                [helper.make_tensor_value_info("product", result, (side, side))],
                [helper.make_tensor("weight", types[1], (side, side), weight.tobytes(), raw=True)],
            )
            model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
            session = onnxruntime.InferenceSession(
                model.SerializeToString(), session_options(threads), providers=["CPUExecutionProvider"]
            )
            yield lambda s=session, g=given: s.run(None, {"given": g}), 2.0 * side**3  # type: ignore[misc]

    return ways


def _kernel(kind: str) -> Callable[[int], Iterator[Way]]:
    def ways(threads: int) -> Iterator[Way]:
        batch, rows, width = _RANKING
        random = np.random.default_rng(0)
        table, queries = (random.standard_normal((count, width), np.float32) for count in (rows, batch))
        storage: object = kind
        scan = Scan(table, InnerProduct(), threads, storage=storage)  # type: ignore[arg-type]
        yield lambda: scan.top_k(queries, 1), 2.0 * batch * rows * width

    return ways


_WAYS: dict[str, dict[str, Callable[[int], Iterator[Way]]]] = {
    "float32": {
        "numpy": _numpy,
        "torch": _torch("float32"),
        "ONNX Runtime": _onnxruntime("float32"),
        "compiled ranking kernel": _kernel("float32"),
    },
    "bfloat16": {"torch": _torch("bfloat16"), "compiled ranking kernel": _kernel("bfloat16")},
    "int8": {
        "torch": _torch("int8"),
        "ONNX Runtime": _onnxruntime("int8"),
        "compiled ranking kernel": _kernel("int8"),
    },
}


if __name__ == "__main__":
    main()
