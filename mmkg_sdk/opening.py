"""load: from a bundle's folder to what answers from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .backends import open_backend
from .bundle import Bundle
from .tasks import runtime_class


def load(path: str | Path, backend: str = "auto", device: str = "auto", *, threads: int | None = None) -> Any:
    """Open a bundle, verify every file, and make it ready to answer.

    Args:
        path: the folder that `mmkg-sdk export` wrote.
        backend: "onnxruntime" or "torch", which run every graph; or "auto", with which compiled kernels do the work of
            graphs on the CPU where they can (backends/__init__.py).
        device: "cpu", "cuda", "cuda:N", or "auto".
        threads: CPU threads of the backend; None leaves the choice to it.

    Returns:
        What the bundle's task asks for: `Model` (link prediction), `Linker` (entity linking), `Extractor` (relation
        extraction) or `Tagger` (entity recognition).

    Raises:
        BundleError: the bundle is missing, incomplete, changed or of another version.
        BackendError: what was asked for is not there; nothing is replaced silently.
    """
    bundle = Bundle.open(path)
    return runtime_class(bundle.config.task)(bundle, open_backend(bundle, backend, device, threads))
