"""ONNX Runtime: the exported graphs on the CPU or with the CUDA execution provider."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from ..bundle import Bundle
from ..errors import BackendError, missing_package
from .base import check_process, parse_device, weights_identity


def session_options(threads: int | None) -> Any:
    """The SDK's onnxruntime.SessionOptions; None leaves the number of threads to the library."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # Spinning threads would take the cores from the ranking that follows each run.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    if threads is not None:
        options.intra_op_num_threads = threads
    return options


class OnnxRuntimeBackend:
    """Sessions are shared by all threads; each is opened when its graph is first run or prepared."""

    name = "onnxruntime"
    automatic = False

    def __init__(self, bundle: Bundle, device: str, threads: int | None) -> None:
        self.device = device
        self._bundle = bundle
        self.threads = threads
        self._process = os.getpid()
        self._weights = weights_identity(bundle)
        self._sessions: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._closed = False

    @classmethod
    def open(cls, bundle: Bundle, device: str, threads: int | None) -> OnnxRuntimeBackend:
        """Check that the package and the provider are there."""
        try:
            import onnxruntime
        except ModuleNotFoundError as err:
            raise missing_package("onnxruntime", "cpu", "backend 'onnxruntime'") from err
        except ImportError as err:
            raise BackendError(f"onnxruntime is installed but does not load: {err}. Install it again.") from err
        providers = onnxruntime.get_available_providers()
        has_cuda = "CUDAExecutionProvider" in providers
        if device == "auto":
            device = "cuda" if has_cuda else "cpu"
        kind, _ = parse_device(device)
        if kind == "cuda" and not has_cuda:
            raise BackendError(
                f"device {device!r} asked for, but this onnxruntime has only {', '.join(providers)}. "
                "Run: pip uninstall onnxruntime && pip install 'mmkg_sdk[gpu]', or pass device='cpu'."
            )
        return cls(bundle, device, threads)

    def prepare(self, graph: str) -> None:
        """See Backend.prepare."""
        self._session(graph)

    def run(self, graph: str, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """See Backend.run."""
        session = self._session(graph)
        names = [output.name for output in session.get_outputs()]
        try:
            outputs = session.run(names, dict(inputs))
        except Exception as err:  # ONNX Runtime raises its own types, which are not exported
            shapes = {name: list(array.shape) for name, array in inputs.items()}
            raise BackendError(f"graph {graph} failed on {self.device} with inputs {shapes}: {err}") from err
        return dict(zip(names, outputs, strict=True))

    def close(self) -> None:
        """See Backend.close."""
        with self._lock:
            self._closed = True
            self._sessions.clear()

    def _session(self, graph: str) -> Any:
        check_process(self._process)
        with self._lock:
            if self._closed:
                raise BackendError("this model is closed. Load the bundle again.")
            if graph not in self._sessions:
                self._sessions[graph] = self._open_session(graph)
            return self._sessions[graph]

    def _open_session(self, graph: str) -> Any:
        import onnxruntime

        if graph not in self._bundle.graphs:
            raise BackendError(f"this bundle has no graph {graph!r}; it has {', '.join(self._bundle.graphs)}.")
        options = session_options(self.threads)
        kind, index = parse_device(self.device)
        if kind == "cpu" and self._bundle.precision == "bf16":
            raise BackendError(
                "ONNX Runtime has no bf16 matrix product on the CPU. Pass backend='torch', "
                "or export with --precision fp32."
            )
        provider: Any = "CPUExecutionProvider"
        if kind == "cuda":
            provider = ("CUDAExecutionProvider", {"device_id": index, "use_tf32": 0})
        try:
            session = onnxruntime.InferenceSession(self._bundle.path / f"{graph}.onnx", options, providers=[provider])
        except Exception as err:  # ONNX Runtime raises its own types, which are not exported
            raise BackendError(f"{graph}.onnx could not be opened on {self.device}: {err}") from err
        if weights_identity(self._bundle) != self._weights:
            raise BackendError(
                f"{self._bundle.path} was replaced since this model was loaded, so {graph}.onnx may not belong to its "
                "table. Load the bundle again."
            )
        wanted = provider if isinstance(provider, str) else provider[0]
        # ONNX Runtime moves to the CPU without a word when a provider's libraries do not load.
        if session.get_providers()[0] != wanted:
            raise BackendError(
                f"{wanted} was asked for, ONNX Runtime took {session.get_providers()[0]}: a library of the provider "
                "did not load. Check the CUDA and cuDNN installation, or pass device='cpu'."
            )
        try:
            _check_signature(graph, session, self._bundle.graphs[graph])
        except UnicodeDecodeError as err:
            raise BackendError(f"{graph}.onnx has a tensor name that is not UTF-8 ({err}). Export again.") from err
        return session


def _check_signature(graph: str, session: Any, spec: dict[str, Any]) -> None:
    """The session's tensors must be those that bundle.json names."""
    for kind, values in (("inputs", session.get_inputs()), ("outputs", session.get_outputs())):
        found = [(value.name, value.type.removeprefix("tensor(").removesuffix(")"), value.shape) for value in values]
        expected = [(t["name"], t["dtype"].replace("float32", "float"), t["shape"]) for t in spec[kind]]
        if found != expected:
            wrong = [tensor for tensor in (*found, *expected) if (tensor in found) != (tensor in expected)]
            name = wrong[0][0] if wrong else "order"
            raise BackendError(
                f"{graph}.onnx has {kind} {found}, bundle.json says {expected}; first difference: {name}. Export again."
            )
