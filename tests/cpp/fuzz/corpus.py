"""What bundle_fuzzer begins with: good bundles, every file of them, and what the attacks of tests/attacks make of it.

An input of the fuzzer replaces one file of one bundle: which bundle, which file, whether the manifest is made to fit,
and the content (bundle_fuzzer.cpp).
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.attacks import content_attacks, manifest_attacks
from tests.attacks.fuzz.subjects import make_subjects

FAMILIES = ("adamf_mat", "mimic", "mygo")  # as the fuzzer counts them: by name
_LARGEST = 1 << 20

_ATTACKS: list[Callable[[Path], Any]] = [spoil for spoil, _ in manifest_attacks.ATTACKS]
_ATTACKS += [spoil for _, spoil, _ in content_attacks.ATTACKS]


def make_corpus(out: Path) -> tuple[Path, Path]:
    """Write what the fuzzer needs.

    Args:
        out: a new folder.

    Returns:
        The folder of bundles, which the fuzzer writes into, and that of inputs.
    """
    bundles, inputs = out / "bundles", out / "inputs"
    inputs.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as folder:
        subjects = make_subjects(Path(folder))
        for family in FAMILIES:
            shutil.copytree(subjects[family], bundles / family)
    for number, family in enumerate(FAMILIES):
        for name, content in [*_files(bundles / family), *_attacked(bundles / family)]:
            place = sorted(path.name for path in (bundles / family).iterdir()).index(name)
            for fits in (0, 1):
                data = bytes([number, place, fits]) + content
                (inputs / hashlib.sha1(data).hexdigest()).write_bytes(data)
    return bundles, inputs


def _files(bundle: Path) -> list[tuple[str, bytes]]:
    return [(path.name, path.read_bytes()) for path in sorted(bundle.iterdir())]


def _attacked(bundle: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of each file that an attack changes and leaves as a plain one."""
    good = dict(_files(bundle))
    for spoil in _ATTACKS:
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "bundle"
            shutil.copytree(bundle, copy)
            try:
                spoil(copy)
            # It is about what this bundle does not have.
            except (AttributeError, FileNotFoundError, IndexError, KeyError, TypeError):
                continue
            for path in copy.iterdir():
                if path.name in good and path.is_file() and not path.is_symlink() and path.stat().st_size <= _LARGEST:
                    content = path.read_bytes()
                    if content != good[path.name]:
                        yield path.name, content
