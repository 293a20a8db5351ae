"""Sessions of ONNX Runtime, made of what a bundle verified."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..bundle import Bundle
from ..errors import BackendError
from ..kernels import default_threads
from .base import parse_device
from .onnxruntime_cuda import cuda_provider, load_libraries, record_providers
from .outside_weights import weight_arrays

if TYPE_CHECKING:
    from ..kernels.gpu import Stream


def session_options(threads: int | None) -> Any:
    """The SDK's onnxruntime.SessionOptions; None takes `default_threads()`."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # Spinning threads would take the cores from the ranking that follows each run.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    options.intra_op_num_threads = threads or default_threads()
    return options


def open_session(
    bundle: Bundle,
    graph: str,
    device: str,
    threads: int | None,
    *,
    weights: Mapping[str, Any] | None = None,
    sizes: Mapping[str, int] | None = None,
    stream: int | None = None,
) -> Any:
    """An onnxruntime.InferenceSession of a graph of the bundle.

    Args:
        weights: OrtValues that it reads in place of those of the bundle, by name; keep them as long as the session.
        sizes: of free axes, by name, which are fixed; None leaves all free.
        stream: CUstream handle; on "cuda" it runs there, as a CUDA graph. None: on streams of its own, and plain.

    Raises:
        BackendError: ONNX Runtime refuses, or takes another provider.
    """
    import onnxruntime

    kind, index = parse_device(device)
    provider: Any = "CPUExecutionProvider"
    options, said = session_options(threads), ""
    if kind == "cpu":
        # Products of int8 graphs as the file says: rounded numbers, multiplied in float32. A processor without VNNI
        # would add pairs of them in 16 bits and cut off what does not fit, and no proof on another processor sees it.
        options.add_session_config_entry("session.disable_quant_qdq", "1")
    if kind == "cuda":
        provider, said = cuda_provider(index, stream), load_libraries()
    record_providers(options)
    files = {name: bundle.files[name] for name in bundle.weight_files(graph)}
    options.add_external_initializers_from_files_in_memory(
        list(files), list(files.values()), list(map(len, files.values()))
    )
    for name, value in (weights or {}).items():
        options.add_initializer(name, value)
    for axis, size in (sizes or {}).items():
        options.add_free_dimension_override_by_name(axis, size)
    model = bytes(bundle.files[f"{graph}.onnx"])
    try:
        # Its own second try, when a session is opened or a call fails, would move to the CPU.
        session = onnxruntime.InferenceSession(model, options, providers=[provider], enable_fallback=0)
    except Exception as err:  # ONNX Runtime raises its own types, which are not exported
        raise BackendError(f"{graph}.onnx could not be opened on {device}: {err}") from err
    wanted = provider if isinstance(provider, str) else provider[0]
    # ONNX Runtime moves to the CPU without a word when a provider's libraries do not load.
    if session.get_providers()[0] != wanted:
        raise BackendError(
            f"{wanted} was asked for, ONNX Runtime took {session.get_providers()[0]}: a library of the provider "
            f"did not load. {said}Check the CUDA and cuDNN installation, or pass device='cpu'."
        )
    return session


def placed_weights(bundle: Bundle, graph: str, stream: Stream) -> dict[str, Any]:
    """The weights of a graph on a GPU, for `open_session`: onnxruntime.OrtValues over arrays of ours.

    ONNX Runtime shares only what it does not own.

    Raises:
        BackendError: there is no memory, or ONNX Runtime does not take them.
    """
    import onnxruntime

    placed = {name: stream.gpu.array(array, stream) for name, array in weight_arrays(bundle, graph).items()}
    try:
        return {name: onnxruntime.OrtValue.from_dlpack(array) for name, array in placed.items()}
    except Exception as err:  # ONNX Runtime raises its own types, which are not exported
        raise BackendError(f"ONNX Runtime takes no array of {stream.gpu.name}: {err}") from err
