"""Opened: what Model, Linker, Extractor and Tagger have in common: a bundle on a backend, closed when done."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .backends import Backend, open_backend
from .bundle import Bundle


class Opened:
    """A bundle, opened on one backend.

    Args:
        prepared: the first graph is loaded now; others when they are run.
    """

    def __init__(self, bundle: Bundle, backend: Backend, *, prepared: bool = True) -> None:
        self.bundle = bundle
        self.backend = backend
        if prepared:
            backend.prepare(bundle.contents.graphs[0])

    def close(self) -> None:
        """Free the backend. Later calls raise BackendError."""
        self.backend.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        # Sessions and memory maps cannot travel to another process; the path can.
        backend = self.backend
        name = "auto" if backend.automatic else backend.name
        return reopened, (type(self), self.bundle.path.absolute(), name, backend.device, backend.threads)


def reopened(kind: type[Opened], path: Path, backend: str, device: str, threads: int | None) -> Any:
    """What unpickling does: open the bundle again, on the same kind of backend."""
    bundle = Bundle.open(path)
    return kind(bundle, open_backend(bundle, backend, device, threads))
