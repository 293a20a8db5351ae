"""Who is measured on a GPU, and in which stages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mmkg_sdk.errors import QueryError
from mmkg_sdk.families.measuring import KERNELS

from ..report.results import GpuMode
from .cells import STAGES
from .kernel_scans import kernel_scans
from .peers import flashlib_scans, jax_scans, onnxruntime_scans, torch_scans
from .scans import OpenScans

_BY_GRAPHS: tuple[GpuMode, ...] = ("gpu-query", "gpu-answer", "gpu-encode")
_SCAN: tuple[GpuMode, ...] = ("gpu-scan",)


@dataclass(frozen=True)
class GpuContender:
    """Attributes:
    backend: that of `mmkg_sdk.load`; "" for a peer, which opens the table alone.
    stages: what it is measured in.
    scans: what opens the table for the scan stage.
    arithmetic, number_bytes: of the first pass of a scan: the ceiling that it is held against, and the bytes of a
        number as it is read.
    package: what a peer needs beside the SDK, as pip knows it.
    remark: what a reader must know of its answers.
    """

    backend: str
    stages: tuple[GpuMode, ...]
    scans: OpenScans | None = None
    arithmetic: str = "bfloat16"
    number_bytes: int = 2
    package: str = ""
    remark: str | None = None


# What `--backends` names -> its contenders.
CONTENDERS: dict[str, dict[str, GpuContender]] = {
    "kernels": {"kernels": GpuContender(KERNELS, STAGES, kernel_scans)},
    "tensorrt": {"tensorrt": GpuContender("tensorrt", _BY_GRAPHS)},
    "onnxruntime": {
        "onnxruntime": GpuContender("onnxruntime", _BY_GRAPHS),
        "onnxruntime, MatMul and TopK": GpuContender("", _SCAN, onnxruntime_scans, "float32", 4, "onnxruntime-gpu"),
    },
    "torch": {
        "torch": GpuContender("torch", _BY_GRAPHS),
        "torch, bf16 in blocks": GpuContender("", _SCAN, torch_scans(compiled=False), package="torch"),
        "torch, bf16 compiled": GpuContender("", _SCAN, torch_scans(compiled=True), package="torch"),
    },
    "flashlib": {
        "flashlib": GpuContender(
            "", _SCAN, flashlib_scans, package="flashlib", remark="ranks by L2 distance, not by products"
        )
    },
    "jax": {"jax": GpuContender("", _SCAN, jax_scans, package="jax[cuda13]")},
}


def chosen_contenders(backends: Sequence[str] | None) -> dict[str, GpuContender]:
    """By name; None takes all.

    Raises:
        QueryError: a name that is none of CONTENDERS.
    """
    names = list(CONTENDERS) if backends is None else list(dict.fromkeys(backends))
    unknown = [name for name in names if name not in CONTENDERS]
    if unknown or not names:
        found = f"unknown backend {unknown[0]!r}" if unknown else "no backend given"
        raise QueryError(f"{found}; expected some of {', '.join(CONTENDERS)}.")
    return {name: one for backend in names for name, one in CONTENDERS[backend].items()}


def contender(name: str) -> GpuContender:
    """One of them."""
    return next(group[name] for group in CONTENDERS.values() if name in group)
