"""TensorRT, or TensorRT for RTX: two packages with one API. Which is installed, and the module with its one logger.

They are installed by `pip install tensorrt` (10.16 or 11; builds on the GPU that the engine is for) and
`pip install tensorrt-rtx-cu13-bindings tensorrt-rtx-cu13-libs` (1.7; builds without a GPU, for kinds of GPUs).
"""

from __future__ import annotations

import importlib
import importlib.util
import threading
from collections import deque
from dataclasses import dataclass
from typing import Literal, Protocol, cast

from ...errors import BackendError, missing_package
from . import api

Flavour = Literal["tensorrt", "tensorrt-rtx"]

# Flavour -> the names that its package may have, in the order in which they are tried; flavours in that of preference.
FLAVOURS: dict[Flavour, tuple[str, ...]] = {
    "tensorrt": ("tensorrt",),
    "tensorrt-rtx": ("tensorrt_rtx", "tensorrt_rtx_bindings"),
}

_lock = threading.Lock()
_loaded: dict[Flavour, Bindings] = {}


class TensorRt(Protocol):
    """The module, as far as both flavours have it; see api.py."""

    __version__: str
    ILogger: type[api.ILogger]
    IProgressMonitor: type[api.IProgressMonitor]
    NetworkDefinitionCreationFlag: type[api.NetworkDefinitionCreationFlag]
    BuilderFlag: type[api.BuilderFlag]
    HardwareCompatibilityLevel: type[api.HardwareCompatibilityLevel]
    MemoryPoolType: type[api.MemoryPoolType]
    ProfilingVerbosity: type[api.ProfilingVerbosity]
    ExecutionContextAllocationStrategy: type[api.ExecutionContextAllocationStrategy]

    def Builder(self, logger: api.ILogger) -> api.Builder: ...

    def OnnxParser(self, network: api.INetworkDefinition, logger: api.ILogger) -> api.OnnxParser: ...

    def Runtime(self, logger: api.ILogger) -> api.Runtime: ...

    def Refitter(self, engine: api.ICudaEngine, logger: api.ILogger) -> api.Refitter: ...

    def OnnxParserRefitter(self, refitter: api.Refitter, logger: api.ILogger) -> api.OnnxParserRefitter: ...


class TensorRtRtx(TensorRt, Protocol):
    """What only TensorRT for RTX has."""

    ComputeCapability: type[api.ComputeCapability]
    EngineValidity: type[api.EngineValidity]
    EngineInvalidityDiagnostics: type[api.EngineInvalidityDiagnostics]


class Words:
    """The last errors that the library has logged. It has one logger a process, so all threads share them."""

    def __init__(self) -> None:
        self._last: deque[str] = deque(maxlen=8)

    def add(self, text: str) -> None:
        """Keep one."""
        self._last.append(" ".join(text.split()))

    def take(self) -> str:
        """All since the last call, oldest first."""
        found = []
        while self._last:
            found.append(self._last.popleft())
        return "; ".join(found) or "the library gave no reason"


@dataclass(frozen=True)
class Bindings:
    """The module of one flavour.

    Attributes:
        version: like "10.16.1.11".
        logger: what builders, parsers and runtimes are given. It writes into `words`.
    """

    flavour: Flavour
    version: str
    trt: TensorRt
    logger: api.ILogger
    words: Words

    @property
    def rtx(self) -> TensorRtRtx | None:
        """The module where it is TensorRT for RTX."""
        return cast(TensorRtRtx, self.trt) if self.flavour == "tensorrt-rtx" else None


def installed() -> list[Flavour]:
    """The flavours whose packages are there; none of them is loaded."""
    return [flavour for flavour, names in FLAVOURS.items() if any(map(importlib.util.find_spec, names))]


def load_bindings(flavour: Flavour | None = None) -> Bindings:
    """The module of a flavour, loaded once a process.

    Args:
        flavour: None takes the first that is installed.

    Raises:
        BackendError: it is not installed, or does not load.
    """
    found = installed()
    wanted = flavour or (found[0] if found else "tensorrt")
    if wanted not in found:
        if wanted == "tensorrt":
            raise missing_package("tensorrt", "tensorrt", "backend 'tensorrt'")
        raise BackendError(
            "TensorRT for RTX is not installed. Run: pip install tensorrt-rtx-cu13-bindings tensorrt-rtx-cu13-libs"
        )
    with _lock:
        if wanted not in _loaded:
            _loaded[wanted] = _load(wanted)
        return _loaded[wanted]


def _load(flavour: Flavour) -> Bindings:
    name = next(name for name in FLAVOURS[flavour] if importlib.util.find_spec(name))
    try:
        trt = cast(TensorRt, importlib.import_module(name))
    except ImportError as err:
        raise BackendError(f"{name} is installed but does not load: {err}. Install it again.") from err
    words = Words()
    return Bindings(flavour, trt.__version__, trt, _logger(trt, words), words)


def _logger(trt: TensorRt, words: Words) -> api.ILogger:
    """A logger that keeps errors; warnings are about dtypes of inputs, which are checked against the bundle's."""
    errors = (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR)

    def log(self: object, severity: api.Severity, msg: str) -> None:
        if severity in errors:
            words.add(msg)

    # The class is there only once the library is.
    kind = type("_Logger", (trt.ILogger,), {"log": log})
    return cast(api.ILogger, kind())
