"""What reaches the ceilings of a device, in a process of its own (worker.py): device, threads, seconds and the
instruction set of the compiled kernels are its job.

One request, an empty JSON object, and one reply, `Ceilings.to_json()`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmkg_sdk.backends.base import parse_device
from mmkg_sdk.errors import MmkgError
from mmkg_sdk.kernels import Scan
from mmkg_sdk.ranking.scores import InnerProduct

from .ceilings import ARITHMETIC, Ceilings, Rate
from .environment import cpu_flags
from .instruction_set import hold_kernels_to
from .sessions import open_nodes
from .timing import samples_s, seconds_of
from .worker import Answer

# What any real arithmetic does in milliseconds.
_LONGEST_S = 1.0
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
    "int8": ("avx2", "avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"),
}

_CPU = "cpu"

# What is timed, and how many operations or bytes it is.
Way = tuple[Callable[[], object], float]
Ways = Callable[[Any, int], Iterator[Way]]


def open_worker(job: Mapping[str, Any]) -> Answer:
    """What measures when asked."""
    kind, _ = parse_device(job["device"])
    threads, seconds = job["threads"], job["seconds"]
    hold_kernels_to(job["instruction_set"])

    def measured(request: Mapping[str, Any]) -> dict[str, Any]:
        reading = _reading(kind, threads, seconds)
        return Ceilings(reading, {one: _arithmetic(kind, one, threads, seconds) for one in ARITHMETIC}).to_json()

    return measured


def _reading(device: str, threads: int, seconds: float) -> Rate:
    if device not in _READING:
        return Rate(None, f"nothing here measures it on {device}")
    # No two rows of the kernel's table are alike: equal scores would all have to be settled.
    numbers = np.arange(_READ, dtype=np.float32)
    rate, name = max(_rates(_READING[device], numbers, threads, seconds))
    return Rate(round(rate, 2), name)


def _arithmetic(device: str, kind: str, threads: int, seconds: float) -> Rate:
    if device not in _ARITHMETIC:
        return Rate(None, f"nothing here measures it on {device}")
    wanted, ways = _INSTRUCTIONS[kind], _ARITHMETIC[device][kind]
    if wanted and not set(wanted) & set(cpu_flags()):
        return Rate(None, f"this processor has none of {', '.join(wanted)}")
    found = list(_rates(ways, None, threads, seconds))
    if not found:
        return Rate(None, f"none of {', '.join(ways)} is to be had here")
    rate, name = max(found)
    return Rate(round(rate, 2), name)


def _rates(ways: dict[str, Ways], numbers: Any, threads: int, seconds: float) -> Iterator[tuple[float, str]]:
    """10^9 operations or bytes per second of every way that there is."""
    for name, make in ways.items():
        try:
            for run, work in make(numbers, threads):
                if seconds_of(run) > _LONGEST_S:  # the warm-up: an emulation, which is no ceiling
                    break
                yield work / min(samples_s(run, seconds)) / 1e9, name
        except (ImportError, MmkgError, RuntimeError, AttributeError):
            continue  # not installed, or has no such arithmetic here


def _numpy(numbers: Any, threads: int) -> Iterator[Way]:
    for side in _SIDES:
        square = np.random.default_rng(0).standard_normal((side, side), np.float32)
        yield lambda square=square: square @ square, 2.0 * side**3  # type: ignore[misc]


def _torch(kind: str) -> Ways:
    def ways(numbers: Any, threads: int) -> Iterator[Way]:
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


def _onnxruntime(kind: str) -> Ways:
    def ways(numbers: Any, threads: int) -> Iterator[Way]:
        random = np.random.default_rng(0)
        for side in _SIDES:
            weight = random.standard_normal((side, side), np.float32)
            given = weight
            if kind == "int8":
                weight = np.clip(32 * weight, -127, 127).astype(np.int8)
                # uint8 times int8 is what the processor's instruction takes.
                given = weight.astype(np.uint8)
            session = _product_session(given, weight, threads, constant=True)
            yield lambda s=session, g=given: s.run(None, {"given": g}), 2.0 * side**3  # type: ignore[misc]

    return ways


def _onnxruntime_reading(numbers: NDArray[np.float32], threads: int) -> Iterator[Way]:
    """A vector times a matrix."""
    table = numbers.reshape(_RANKING[2], -1)
    given = np.ones((1, len(table)), np.float32)
    session = _product_session(given, table, threads, constant=False)
    yield lambda: session.run(None, {"given": given, "weight": table}), numbers.nbytes


def _product_session(given: NDArray[Any], weight: NDArray[Any], threads: int, *, constant: bool) -> Any:
    """A session of "given" times "weight", which is packed once where it is constant."""
    from onnx import helper

    whole = weight.dtype == np.int8
    kinds = [helper.np_dtype_to_tensor_dtype(array.dtype) for array in (given, weight)]
    kinds.append(helper.np_dtype_to_tensor_dtype(np.dtype(np.int32 if whole else np.float32)))
    names = {"given": given.shape, "weight": weight.shape, "product": (len(given), weight.shape[1])}
    described = [
        helper.make_tensor_value_info(name, kind, shape)
        for (name, shape), kind in zip(names.items(), kinds, strict=True)
    ]
    packed = [helper.make_tensor("weight", kinds[1], weight.shape, weight.tobytes(), raw=True)] if constant else []
    node = helper.make_node("MatMulInteger" if whole else "MatMul", ["given", "weight"], ["product"])
    return open_nodes([node], described[: 1 if constant else 2], described[2:], packed, _CPU, threads)


def _numpy_reading(numbers: NDArray[np.float32], threads: int) -> Iterator[Way]:
    """The largest number; and dot products of halves, which read two places at once."""
    parts = np.array_split(numbers, threads)
    halves = [part[: len(part) // 2 * 2].reshape(2, -1) for part in parts]
    with ThreadPoolExecutor(threads) as pool:
        yield lambda: list(pool.map(np.max, parts)), numbers.nbytes
        yield lambda: list(pool.map(lambda pair: pair[0] @ pair[1], halves)), numbers.nbytes


def _kernel_reading(numbers: NDArray[np.float32], threads: int) -> Iterator[Way]:
    """One query."""
    scan = Scan(numbers.reshape(-1, _RANKING[2]), InnerProduct(), threads, storage="float32")
    query = np.random.default_rng(0).standard_normal((1, _RANKING[2]), np.float32)
    yield lambda: scan.top_k(query, 1), numbers.nbytes


def _kernel(kind: str) -> Ways:
    def ways(numbers: Any, threads: int) -> Iterator[Way]:
        batch, rows, width = _RANKING
        random = np.random.default_rng(0)
        table, queries = (random.standard_normal((count, width), np.float32) for count in (rows, batch))
        storage: object = kind
        scan = Scan(table, InnerProduct(), threads, storage=storage)  # type: ignore[arg-type]
        yield lambda: scan.top_k(queries, 1), 2.0 * batch * rows * width

    return ways


# Kind of device -> name -> way. What is here is of the processor; other devices have a table of their own.
_READING: dict[str, dict[str, Ways]] = {
    _CPU: {
        "numpy": _numpy_reading,
        "ONNX Runtime": _onnxruntime_reading,
        "compiled ranking kernel": _kernel_reading,
    }
}
_ARITHMETIC: dict[str, dict[str, dict[str, Ways]]] = {
    _CPU: {
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
}
