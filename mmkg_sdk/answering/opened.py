"""Opened: what Model, Linker, Extractor and Tagger have in common: a bundle on a backend, closed when done."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

from ..backends import Backend, open_backend
from ..bundle import Bundle
from ..errors import BundleError


class Opened:
    """A bundle, opened on one backend.

    Attributes:
        task: what bundles of this class do, as registry.py names it.

    Args:
        prepared: the first graph is loaded now; others when they are run.
    """

    task: ClassVar[str]

    def __init__(self, bundle: Bundle, backend: Backend, *, prepared: bool = True) -> None:
        self.bundle = bundle
        self.backend = backend
        if prepared:
            backend.prepare(bundle.contents.graphs[0])

    @classmethod
    def load(cls, path: str | Path, backend: str = "auto", device: str = "auto", *, threads: int | None = None) -> Self:
        """Open a bundle of this class's task; arguments and errors are those of `mmkg_sdk.load`.

        Raises:
            BundleError: also if the bundle is for another task.
        """
        bundle = Bundle.open(path)
        if bundle.config.task != cls.task:
            raise BundleError(
                f"{bundle.path} is for {bundle.config.task}; {cls.__name__} needs a bundle for {cls.task}. "
                "`mmkg_sdk.load` opens any bundle."
            )
        return cls(bundle, open_backend(bundle, backend, device, threads))

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
    return kind.load(path, backend, device, threads=threads)
