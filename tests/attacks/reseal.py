"""An attacker who fixes the manifest: sizes and digests are those of the files again, and the seal fits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmkg_sdk.bundle.manifest import sealed


def reseal(folder: Path) -> None:
    def fix(manifest: dict[str, Any]) -> None:
        for name, entry in manifest["files"].items():
            data = (folder / name).read_bytes()
            entry.update(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))

    change_manifest(folder, fix)


def change_manifest(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    manifest = json.loads((folder / "bundle.json").read_text())
    change(manifest)
    (folder / "bundle.json").write_text(json.dumps(sealed(manifest)))
