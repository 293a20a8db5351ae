"""The engines that this user has built on this machine, outside of bundles; all of it may be removed at any time.

    CACHE/engines/                      0700, and owned by the user, or it is refused
      GRAPH-CONTENT/                    one graph with its weights, by hash
        KEY.engine  KEY.json  KEY.lock  an engine, its record (record.py), and the lock of who builds it
      timing/KEY.times                  what builds have measured, behind its hash; one for each library and GPU

A record is written behind its engine, so an engine without one is the rest of a build that did not end. What is not as
its record says is removed with a line in the log, and built again. Nothing is given to the library before its hash was
compared.
"""

from __future__ import annotations

import hashlib
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from ...errors import BackendError, DataError
from ...files.atomic import write_atomically
from ...files.cache_folder import cache_folder
from ...files.locks import LockedError, locked_file
from ...files.private_folder import make_private
from .profiles import Profile
from .record import EngineKey, EngineRecord, Target, Unusable

# Longer than a build takes; who holds a lock for longer hangs.
LOCK_TIMEOUT_S = 3600.0
_RECORD_LIMIT = 1 << 20

_log = logging.getLogger("mmkg_sdk.engines")


@dataclass(frozen=True)
class CachedEngine:
    """An engine whose hash is that of its record.

    Attributes:
        path: where it lies.
        plan: the engine, serialized.
    """

    path: Path
    record: EngineRecord
    plan: bytes


class EngineCache:
    """Use `open`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def open(cls, cache: Path | None = None) -> Self:
        """The cache in a folder; None: $MMKG_CACHE, else $XDG_CACHE_HOME/mmkg_sdk, else ~/.cache/mmkg_sdk.

        Raises:
            BackendError: it cannot be made, or others than the user may write to it.
        """
        folder = cache_folder(cache).absolute() / "engines"
        _make_private(folder)
        return cls(folder)

    def exact(self, key: EngineKey) -> CachedEngine | None:
        """The engine of a key; one that is damaged or another's is removed."""
        return self._usable(self._path(key), key)

    def fitting(self, target: Target) -> CachedEngine | None:
        """The engine of a graph that was built last, of those that can be opened here, however it was built."""
        misfits, fits = [], []
        for path in self._folder(target.graph, target.content).glob("*.json"):
            try:
                record = _read_record(path)
            except Unusable:
                self._usable(path.with_suffix(".engine"))
                continue
            if part := record.key.misfit(target):
                misfits.append(part)
            else:
                fits.append((record.built, path.with_suffix(".engine")))
        for _, path in sorted(fits, reverse=True):
            if found := self._usable(path):
                return found
        if misfits:
            _log.warning(
                "The engine of %s that is there does not fit and another is built: %s.", target.graph, misfits[0]
            )
        return None

    def put(self, key: EngineKey, plan: bytes, profiles: tuple[Profile, ...], seconds: float) -> CachedEngine:
        """Keep an engine.

        Raises:
            BackendError: the disk does not take it.
        """
        path = self._path(key)
        built = datetime.now(UTC).isoformat(timespec="microseconds")
        record = EngineRecord(key, len(plan), hashlib.sha256(plan).hexdigest(), profiles, seconds, built)
        try:
            path.with_suffix(".json").unlink(missing_ok=True)
            write_atomically(path, plan)
            write_atomically(path.with_suffix(".json"), record.to_bytes())
        except DataError as err:
            path.unlink(missing_ok=True)
            raise BackendError(f"the engine could not be kept: {err} Or name another cache by $MMKG_CACHE.") from err
        return CachedEngine(path, record, plan)

    def discard(self, engine: CachedEngine, reason: str) -> None:
        """Remove an engine that this machine does not take."""
        with self._locked(engine.path):
            _discard(engine.path, Unusable(reason))

    @contextmanager
    def lock(self, key: EngineKey) -> Iterator[None]:
        """While the block runs, no other process or thread builds this engine.

        Raises:
            BackendError: another one has held it for longer than LOCK_TIMEOUT_S.
        """
        path = self._path(key)
        with self._locked(path):
            for rest in path.parent.glob(f".{path.stem}.*.tmp"):  # of a build that was killed
                rest.unlink(missing_ok=True)
            yield

    def times(self, key: EngineKey) -> bytes | None:
        """What builds for the library and the GPU of a key have measured; None if there is nothing, or damage."""
        path = self._times(key)
        if not path.is_file():
            return None
        digest, _, times = path.read_bytes().partition(b"\n")
        if digest.decode("ascii", "replace") == hashlib.sha256(times).hexdigest():
            return times
        _log.warning("The timing cache %s was changed; it is discarded.", path)
        path.unlink(missing_ok=True)
        return None

    def put_times(self, key: EngineKey, times: bytes) -> None:
        """Keep what builds have measured; where that cannot be, the log says so, and the next build measures again."""
        path = self._times(key)
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            write_atomically(path, hashlib.sha256(times).hexdigest().encode() + b"\n" + times)
        except (OSError, DataError) as err:
            _log.warning("The timing cache was not kept: %s", err)

    @contextmanager
    def _locked(self, path: Path) -> Iterator[None]:
        with ExitStack() as stack:
            try:
                path.parent.mkdir(mode=0o700, exist_ok=True)
                lock = locked_file(path.with_suffix(".lock"), wait=True, timeout_s=LOCK_TIMEOUT_S)
                stack.enter_context(lock)
            except LockedError as err:
                raise BackendError(
                    f"{path} has been in use by process {err.owner}, which builds it, for more than "
                    f"{LOCK_TIMEOUT_S:.0f} seconds. If it hangs, end it; then try again."
                ) from err
            except OSError as err:
                raise _no_cache(path.parent, err) from err
            yield

    def _usable(self, path: Path, key: EngineKey | None = None) -> CachedEngine | None:
        """The engine at a path; what is not as its record or a key says is removed.

        It is looked at once more under the lock: another process may have been about to write it.
        """
        try:
            return _read(path, key)
        except Unusable:
            pass
        with self._locked(path):
            try:
                return _read(path, key)
            except Unusable as err:
                _discard(path, err)
                return None

    def _times(self, key: EngineKey) -> Path:
        name = hashlib.sha256(f"{key.flavour} {key.version} {key.architecture}".encode()).hexdigest()[:24]
        return self.folder / "timing" / f"{name}.times"

    def _folder(self, graph: str, content: str) -> Path:
        return self.folder / f"{graph}-{content[:24]}"

    def _path(self, key: EngineKey) -> Path:
        return self._folder(key.graph, key.content) / f"{key.digest}.engine"


def _read(path: Path, key: EngineKey | None = None) -> CachedEngine | None:
    """The engine at a path; None if there is nothing.

    Raises:
        Unusable: it is damaged, or another key's.
    """
    if not os.path.lexists(path) and not os.path.lexists(path.with_suffix(".json")):
        return None
    record = _read_record(path.with_suffix(".json"))
    if key is not None and (part := record.key.differs_from(key)):
        raise Unusable(f"it is another engine's: {part}")
    plan = _content(path, record.size)
    record.check(plan)
    return CachedEngine(path, record, plan)


def _read_record(path: Path) -> EngineRecord:
    if not os.path.lexists(path):
        raise Unusable("it has no record: its build did not end")
    return EngineRecord.of_bytes(_content(path, _RECORD_LIMIT))


def _content(path: Path, limit: int) -> bytes:
    """A plain file of the cache, up to one byte more than it may have."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        with open(path, "rb", opener=lambda name, _: os.open(name, flags)) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise Unusable(f"{path.name} is no plain file")
            return file.read(limit + 1)
    except OSError as err:
        raise Unusable(f"{path.name} cannot be read ({err.strerror})") from err


def _discard(path: Path, reason: Unusable) -> None:
    _log.warning("The engine %s is discarded and built again: %s.", path, reason)
    for old in (path.with_suffix(".json"), path):
        try:
            old.unlink(missing_ok=True)
        except OSError as err:
            raise BackendError(f"{old} cannot be removed ({err.strerror}). Remove it, or the folder it is in.") from err


def _make_private(folder: Path) -> None:
    """Who can write an engine can run code as whoever opens it."""
    try:
        make_private(folder, "engines", "put code there")
    except OSError as err:
        raise _no_cache(folder, err) from err
    except DataError as err:
        raise BackendError(str(err)) from err


def _no_cache(folder: Path, err: OSError) -> BackendError:
    return BackendError(
        f"{folder}, where engines are kept, cannot be written ({err.strerror}). Name another cache by $MMKG_CACHE."
    )
