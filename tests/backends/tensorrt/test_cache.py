"""The cache of engines: what is damaged, another's or old is removed with a line in the log, and built again."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from mmkg_sdk.backends.tensorrt import cache as cache_module
from mmkg_sdk.backends.tensorrt.cache import CachedEngine, EngineCache
from mmkg_sdk.backends.tensorrt.options import BuildOptions
from mmkg_sdk.backends.tensorrt.profiles import Range
from mmkg_sdk.bundle.manifest import sealed
from mmkg_sdk.errors import BackendError

from .entries import KEY, PLAN, PROFILES, TARGET, key_with, put, record_of

posix = pytest.mark.skipif(os.name != "posix", reason="permissions as of POSIX")


@pytest.fixture
def cache(tmp_path: Path) -> EngineCache:
    return EngineCache.open(tmp_path)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "mmkg_sdk.engines"]


def test_what_was_put_is_found(cache: EngineCache) -> None:
    assert cache.exact(KEY) is None
    kept = put(cache)
    for found in (cache.exact(KEY), cache.fitting(TARGET)):
        assert found == kept
        assert found is not None
        assert (found.plan, found.record.profiles, found.record.seconds) == (PLAN, PROFILES, 1.5)
    assert cache.folder in kept.path.parents
    assert not list(cache.folder.rglob("*.lock"))
    assert not list(cache.folder.rglob("*.tmp"))


def test_it_lies_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMKG_CACHE", str(tmp_path / "mine"))
    assert EngineCache.open().folder == tmp_path / "mine" / "engines"


@pytest.mark.parametrize(
    "other",
    [
        key_with(graph="entity_encoder"),
        key_with(content="0" * 64),
        key_with(flavour="tensorrt-rtx"),
        key_with(version="11.4.0.106"),
        key_with(architecture="8.9"),
        key_with(BuildOptions(buckets={"batch": (Range(1, 2, 3),)})),
        key_with(BuildOptions(level=5)),
        key_with(BuildOptions(workspace_mib=7)),
        key_with(BuildOptions(version_compatible=True)),
        key_with(BuildOptions(strip=True)),
        key_with(BuildOptions(hardware="ampere-plus")),
    ],
)
def test_each_part_of_the_key_makes_another_engine(cache: EngineCache, other: object) -> None:
    put(cache)
    assert cache.exact(other) is None  # type: ignore[arg-type]
    put(cache, other, b"another")  # type: ignore[arg-type]
    assert cache.exact(other).plan == b"another"  # type: ignore[arg-type, union-attr]
    assert cache.exact(KEY).plan == PLAN  # type: ignore[union-attr]


def _changed(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _longer(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"0")


def _resealed(path: Path, change: Callable[[dict[str, object]], object]) -> None:
    record = json.loads(path.read_text())
    del record["seal"]
    change(record)
    path.write_text(json.dumps(sealed(record)))


def _replaced(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


DAMAGE: dict[str, tuple[Callable[[CachedEngine], object], str]] = {
    "engine cut off": (lambda one: _cut(one.path), "has 4,299 bytes, its record says 4,300"),
    "engine empty": (lambda one: one.path.write_bytes(b""), "has 0 bytes"),
    "engine longer": (lambda one: _longer(one.path), "has 4,301 bytes"),
    "first bit of the engine": (lambda one: _changed(one.path, 0), "the engine was changed: its SHA-256"),
    "last bit of the engine": (lambda one: _changed(one.path, -1), "the engine was changed: its SHA-256"),
    "engine missing": (lambda one: one.path.unlink(), "cannot be read"),
    "engine is a link": (
        lambda one: _replaced(one.path, lambda path: path.symlink_to("/etc/passwd")),
        "cannot be read",
    ),
    "engine is a pipe": (lambda one: _replaced(one.path, os.mkfifo), "no plain file"),
    "record missing": (lambda one: record_of(one).unlink(), "it has no record: its build did not end"),
    "record cut off": (lambda one: _cut(record_of(one)), "its record is damaged"),
    "record empty": (lambda one: record_of(one).write_bytes(b""), "its record is damaged"),
    "record of a gigabyte": (lambda one: os.truncate(record_of(one), 1 << 30), "its record is damaged"),
    "record nested": (lambda one: record_of(one).write_text("[" * 100_000), "its record is damaged"),
    "record a list": (lambda one: record_of(one).write_text("[]"), "its record is damaged"),
    "record without a seal": (lambda one: record_of(one).write_text('{"format": 1}'), "its record was changed"),
    "record with another hash": (
        lambda one: record_of(one).write_text(record_of(one).read_text().replace('"sha256": "', '"sha256": "0')),
        "its record was changed: the seal",
    ),
    "record of a later format": (
        lambda one: _resealed(record_of(one), lambda record: record.update(format=2)),
        "its record has format 2, this mmkg_sdk reads 1",
    ),
    "record without profiles": (
        lambda one: _resealed(record_of(one), lambda record: record.pop("profiles")),
        "its record is damaged (KeyError: 'profiles')",
    ),
}


@posix
@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_entry_is_removed_with_one_line_that_says_why(
    name: str, cache: EngineCache, caplog: pytest.LogCaptureFixture
) -> None:
    damage, reason = DAMAGE[name]
    kept = put(cache)
    damage(kept)
    assert cache.exact(KEY) is None
    (line,) = lines(caplog)
    assert line.startswith(f"The engine {kept.path} is discarded and built again: ")
    assert reason in line
    assert not os.path.lexists(kept.path)
    assert not record_of(kept).exists()
    caplog.clear()
    assert cache.exact(KEY) is None
    assert cache.fitting(TARGET) is None
    assert lines(caplog) == []
    assert put(cache) is not None
    assert cache.exact(KEY) is not None


@posix
@pytest.mark.parametrize("name", sorted(DAMAGE.keys() - {"record missing"}))
def test_a_damaged_entry_is_not_opened_either(name: str, cache: EngineCache, caplog: pytest.LogCaptureFixture) -> None:
    good = put(cache, key_with(BuildOptions(level=1)), b"built before")
    DAMAGE[name][0](kept := put(cache))
    found = cache.fitting(TARGET)
    assert found is not None
    assert found.path == good.path
    assert len(lines(caplog)) == 1
    assert not os.path.lexists(kept.path)


def test_an_entry_of_another_key_under_this_name_says_which_part_differs(
    cache: EngineCache, caplog: pytest.LogCaptureFixture
) -> None:
    for part, value in (("version", "11.4.0.106"), ("architecture", "8.9")):
        other, mine = put(cache, key_with(**{part: value})), put(cache)
        os.replace(other.path, mine.path)
        os.replace(record_of(other), record_of(mine))
        caplog.clear()
        assert cache.exact(KEY) is None
        (line,) = lines(caplog)
        assert f"it is another engine's: {part} is {value!r}, wanted {getattr(KEY, part)!r}" in line


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"version": "10.15.0"}, "version is 10.15.0, this is 10.16.1.11"),
        ({"version": "11.4.0.106"}, "version is 11.4.0.106, this is 10.16.1.11"),
        ({"architecture": "8.9"}, "architecture is 8.9, this GPU is 9.0"),
        ({"architecture": "12.0,12.1"}, "architecture is 12.0,12.1, this GPU is 9.0"),
        ({"flavour": "tensorrt-rtx"}, "flavour is 'tensorrt-rtx', wanted 'tensorrt'"),
    ],
)
def test_an_engine_that_does_not_fit_stays_and_the_log_says_which_part(
    parts: dict[str, str], reason: str, cache: EngineCache, caplog: pytest.LogCaptureFixture
) -> None:
    kept = put(cache, key_with(**parts))
    assert cache.fitting(TARGET) is None
    (line,) = lines(caplog)
    assert line == f"The engine of query_encoder that is there does not fit and another is built: {reason}."
    assert kept.path.exists()


@pytest.mark.parametrize(
    ("key", "fits"),
    [
        (key_with(BuildOptions(version_compatible=True), version="10.9.0"), True),
        (key_with(BuildOptions(version_compatible=True), version="11.0.0"), False),
        (key_with(BuildOptions(hardware="ampere-plus"), architecture="8.0"), True),
        (key_with(BuildOptions(hardware="same-compute-capability"), architecture="8.0"), False),
        (key_with(BuildOptions(hardware="same-compute-capability")), True),
    ],
)
def test_compatible_engines_fit_where_they_were_built_for_it(key: object, fits: bool, cache: EngineCache) -> None:
    put(cache, key)  # type: ignore[arg-type]
    assert (cache.fitting(TARGET) is not None) == fits


def test_of_several_engines_that_fit_the_last_built_is_taken(cache: EngineCache) -> None:
    put(cache, plan=b"first")
    put(cache, key_with(BuildOptions(level=5)), b"last")
    put(cache, key_with(architecture="8.9"), b"of another GPU")
    assert cache.fitting(TARGET).plan == b"last"  # type: ignore[union-attr]


@posix
@pytest.mark.parametrize("mode", [0o777, 0o770, 0o701, 0o704])
def test_a_folder_that_is_open_to_others_is_refused(mode: int, tmp_path: Path) -> None:
    (tmp_path / "engines").mkdir()
    (tmp_path / "engines").chmod(mode)
    with pytest.raises(BackendError, match=rf"open to others \(mode {mode:04o}\).*chmod 700"):
        EngineCache.open(tmp_path)


@posix
def test_the_folder_is_made_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        made = EngineCache.open(tmp_path).folder
    finally:
        os.umask(before)
    assert stat.S_IMODE(made.stat().st_mode) == 0o700


@posix
@pytest.mark.parametrize(("mode", "refused"), [(0o777, True), (0o770, True), (0o1777, False), (0o755, False)])
def test_a_folder_that_others_could_replace_is_refused(mode: int, refused: bool, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(mode)
    if not refused:
        assert EngineCache.open(tmp_path / "shared").folder.is_dir()
        return
    with pytest.raises(BackendError, match=r"who could put another folder of engines there. Run: chmod go-w"):
        EngineCache.open(tmp_path / "shared")


@posix
def test_a_folder_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other user is pretended: only root could make such a folder."""
    EngineCache.open(tmp_path)
    me = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: me + 1)
    with pytest.raises(BackendError, match=rf"belongs to user {me}, and this is user {me + 1}"):
        EngineCache.open(tmp_path)


@posix
def test_a_link_to_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "engines").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BackendError, match="is no folder of its own"):
        EngineCache.open(tmp_path)


def test_a_place_where_no_folder_can_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BackendError, match=r"cannot be written .*\$MMKG_CACHE"):
        EngineCache.open(tmp_path / "file")


def test_a_disk_that_is_full_leaves_no_entry(cache: EngineCache, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, cache.lock(KEY):
        patch.setattr(os, "fsync", full)
        with pytest.raises(BackendError, match=r"could not be kept: .*No space left on device; 4,300 bytes needed"):
            cache.put(KEY, PLAN, PROFILES, 1.0)
    assert not [path for path in cache.folder.rglob("*") if path.is_file()]
    assert cache.exact(KEY) is None


def test_a_lock_is_waited_for_with_an_end(cache: EngineCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "LOCK_TIMEOUT_S", 0.2)
    held, end = threading.Event(), threading.Event()

    def hold() -> None:
        with cache.lock(KEY):
            held.set()
            end.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(30)
    try:
        with pytest.raises(BackendError, match=rf"in use by process {os.getpid()}.* for more than 0 seconds"):
            put(cache)
        put(cache, key_with(architecture="8.9"))  # which nobody holds
    finally:
        end.set()
        thread.join()
    put(cache)


@posix
def test_what_a_killed_writer_leaves_is_cleaned_by_the_next(
    cache: EngineCache, caplog: pytest.LogCaptureFixture
) -> None:
    """Killed between the engine's bytes and its name, and between the engine and its record."""
    for place in ("os.replace", "EngineRecord.to_bytes"):
        code = (
            "import os, signal, sys\nfrom pathlib import Path\n"
            "from mmkg_sdk.backends.tensorrt.cache import EngineCache, EngineRecord\n"
            "from tests.backends.tensorrt.entries import put\n"
            f"{place} = lambda *arguments: os.kill(os.getpid(), signal.SIGKILL)\n"
            f"put(EngineCache.open(Path({str(cache.folder.parent)!r})))\n"
        )
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
        assert [path for path in cache.folder.rglob("*") if path.is_file()]
        caplog.clear()
        assert cache.exact(KEY) is None
        assert len(lines(caplog)) == (place != "os.replace")
        kept = put(cache)
        assert sorted(path for path in cache.folder.rglob("*") if path.is_file()) == sorted(
            [kept.path, record_of(kept)]
        )
        for path in (kept.path, record_of(kept)):
            path.unlink()


def test_timing_caches_are_kept_for_each_library_and_gpu(cache: EngineCache, caplog: pytest.LogCaptureFixture) -> None:
    assert cache.times(KEY) is None
    cache.put_times(KEY, b"times\nof kernels")
    assert cache.times(key_with(BuildOptions(level=5), content="1" * 64)) == b"times\nof kernels"
    assert cache.times(key_with(architecture="8.9")) is None
    assert cache.times(key_with(version="11.4.0.106")) is None
    (path,) = cache.folder.rglob("*.times")
    for damage in (_cut, lambda path: _changed(path, -1), lambda path: path.write_bytes(b"")):
        cache.put_times(KEY, b"times\nof kernels")
        caplog.clear()
        damage(path)
        assert cache.times(KEY) is None
        assert len(lines(caplog)) == 1
        assert not path.exists()
