"""Records of what was verified on this machine: a large file that has not changed since is not read again.

CACHE/verified/ holds an empty file for each bundle. Its name is a hash of all that the verdict rests on: this package's
version, bundle.json, and for every large file its device, inode, size, times of change and the hash that is expected.
Who may write to that folder can vouch for files, so it is private. docs/bundle-format.md says what is trusted.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..files.cache_folder import cache_folder
from ..files.private_folder import make_private
from ..version import __version__

RECORDS = "MMKG_VERIFIED_RECORDS"
# A change so short after another one may leave the same time.
_SETTLED_NS = 2_000_000_000
# Where an inode stays that of its file, and the kernel itself keeps the time of every change.
_STABLE = {"ext2", "ext3", "ext4", "xfs", "btrfs", "tmpfs", "overlay"}
_MOUNTS = Path("/proc/self/mountinfo")

_log = logging.getLogger("mmkg_sdk.bundle")


def records_wanted() -> bool:
    """Whether $MMKG_VERIFIED_RECORDS allows records; "0" or "off" forbids them."""
    return os.environ.get(RECORDS, "").lower() not in ("0", "off")


class VerifiedOnce:
    """The record of a bundle's large files, as they are now.

    Args:
        manifest: bundle.json.
        files: name -> what the system says of the file that was opened.
    """

    def __init__(self, manifest: Mapping[str, Any], files: Mapping[str, os.stat_result]) -> None:
        self._files = dict(sorted(files.items()))
        seen = {name: (s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for name, s in self._files.items()}
        content = json.dumps([__version__, manifest, seen], sort_keys=True)
        self._name = hashlib.sha256(content.encode()).hexdigest()

    def exists(self) -> bool:
        """Whether these very files were verified before."""
        folder = _folder() if self._files else None
        return folder is not None and (folder / self._name).is_file()

    def keep(self) -> None:
        """Remember that they were verified, unless a change of one could go unseen; then the next opening hashes again.

        Not so if one was changed within the last two seconds, or lies where inodes or times mean less.
        """
        now = time.time_ns()
        settled = all(now - max(s.st_ctime_ns, s.st_mtime_ns) > _SETTLED_NS for s in self._files.values())
        folder = _folder() if self._files and settled and _are_stable(self._files.values()) else None
        if folder is None:
            return
        try:
            (folder / self._name).touch(mode=0o600)
        except OSError as err:
            _log.warning("That the bundle was verified is not kept: %s", err)


def _folder() -> Path | None:
    """Where records are, or None with a line in the log: then nothing is believed or kept."""
    folder = cache_folder().absolute() / "verified"
    try:
        make_private(folder, "records of verified files", "vouch for changed ones")
    except (OSError, DataError) as err:
        _log.warning("Every file is hashed: %s", err)
        return None
    return folder


def _are_stable(files: Any) -> bool:
    """Whether files lie on file systems of which it is known."""
    try:
        lines = [line.split(" - ") for line in _MOUNTS.read_text().splitlines()]
    except OSError:
        return False
    kinds = {mount.split()[2]: kind.split()[0] for mount, kind in lines}
    return all(kinds.get(f"{os.major(s.st_dev)}:{os.minor(s.st_dev)}") in _STABLE for s in files)
