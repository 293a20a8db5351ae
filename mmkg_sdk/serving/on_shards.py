"""OnShards: what ShardedModel and ShardedLinker have in common: a front, opened here, and shards, wherever they are."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Self

from ..answering.opened import Opened
from ..backends import Backend, open_backend
from ..bundle import Bundle
from ..errors import BackendError, BundleError, ExportError
from .shards import FindShards, LocalShards, Shards, open_front


class OnShards(Opened):
    """A sharded bundle, opened; stands before the class of its task among the bases."""

    def __init__(self, bundle: Bundle, backend: Backend, *, shards: Shards, compiled: bool = False) -> None:
        self._shards = shards
        super().__init__(bundle, backend, compiled=compiled)

    @classmethod
    def load(
        cls,
        path: str | Path,
        backend: str = "auto",
        device: str = "auto",
        *,
        threads: int | None = None,
        follow_links: bool = False,
        hash_always: bool = False,
        shards: FindShards | None = None,
    ) -> Self:
        """See `load_sharded`.

        Raises:
            BundleError: also if the bundle is for another task.
        """
        front = open_front(path, follow_links=follow_links, hash_always=hash_always)
        if front.config.task != cls.task:
            raise BundleError(f"{front.path} is for {front.config.task}; {cls.__name__} needs one for {cls.task}.")
        opened = open_backend(front, backend, device, threads)
        local = partial(
            LocalShards.of, backend=backend, threads=threads, follow_links=follow_links, hash_always=hash_always
        )
        return cls(front, opened, shards=(shards or local)(front), compiled=backend == "auto")

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Refused.

        Raises:
            ExportError: always.
        """
        raise ExportError(f"{self.bundle.path.parent} is sharded. Save the model of the whole bundle, and cut that.")

    def close(self) -> None:
        """Free the backend and the shards. Later calls raise BackendError."""
        super().close()
        self._shards.close()

    def _runs_on(self) -> str:
        return f"{len(self._shards.starts) - 1} shards, {super()._runs_on()}"

    def __reduce__(self) -> tuple[Any, ...]:
        if not isinstance(self._shards, LocalShards):  # they are elsewhere
            raise BackendError(f"{self!r} cannot be sent to another process. Open it there.")
        reopen, (kind, front, *rest) = Opened.__reduce__(self)  # a Model would send added entities, too
        return reopen, (kind, front.parent, *rest)
