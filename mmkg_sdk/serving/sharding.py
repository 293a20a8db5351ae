"""shard_bundle: a bundle cut into a front and shards of its table. docs/sharding.md says what is where."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from ..bundle import MANIFEST, Bundle
from ..bundle.hashes import file_entry
from ..bundle.manifest import manifest_contents, sealed
from ..bundle.parts import FRONT, MOST_SHARDS, Part
from ..errors import DataError, ExportError
from ..files.folders import FolderKind, new_folder
from ..files.labels import Labels, write_labels
from ..files.tensors import write_tensors

_SHARDED = FolderKind(
    "sharded bundle", ExportError, "Pass --overwrite to replace it, or another folder.", marker=f"{FRONT}/{MANIFEST}"
)


def shard_bundle(
    bundle: str | Path,
    out: str | Path,
    shards: int,
    *,
    overwrite: bool = False,
    progress: Callable[[str], None] = lambda message: None,
) -> tuple[int, ...]:
    """Write a bundle as a front and shards of equally many rows, give or take one.

    Args:
        bundle: what `mmkg-sdk export` wrote; it is verified first.
        out: the folder; it appears whole or not at all.
        shards: 1 to 4,096, and no more than there are entities.
        overwrite: replace a sharded bundle that stands there.
        progress: is told what happens, one line at a time.

    Returns:
        The first row of every shard, and the end of the last one.

    Raises:
        BundleError: the bundle is not as it should be.
        DataError: its task has no table of entities, or it has too few of them.
        ExportError: the target is taken, or the disk is full; then nothing is written.
    """
    whole = Bundle.open(bundle)
    if not whole.encoded:
        raise DataError(f"{whole.path} is for {whole.config.task}, which has no table of entities. Copy it as it is.")
    total = len(whole.entities)
    most = min(total, MOST_SHARDS)
    if not 1 <= shards <= most:
        raise DataError(f"{shards} shards asked for; {whole.path} with {total:,} entities is cut into 1 to {most:,}.")
    starts = tuple(total * number // shards for number in range(shards + 1))
    seal = sealed(whole.manifest)["seal"]
    with new_folder(Path(out), _SHARDED, overwrite=overwrite) as folder:
        for number in (None, *range(shards)):
            part = Part(seal, starts, number)
            progress(f"writing {part.folder}")
            _write_part(whole, part, folder / part.folder)
            whole.release()
    return starts


def _write_part(whole: Bundle, part: Part, folder: Path) -> None:
    folder.mkdir()
    manifest = {name: value for name, value in whole.manifest.items() if name not in ("files", "seal")}
    manifest["part"] = part.to_json()
    contents = manifest_contents(manifest)
    manifest["graphs"] = {name: whole.manifest["graphs"][name] for name in contents.graphs}
    if part.number is not None:
        write_labels(folder / "entities.txt", Labels(whole.entities[part.rows]))
        with (folder / "table.safetensors").open("wb") as file:
            write_tensors(file, {name: array[part.rows] for name, array in whole.encoded.items()})
    for name in contents.files:
        if name in whole.files and not (folder / name).exists():
            (folder / name).write_bytes(whole.files[name])
    manifest["files"] = {path.name: file_entry(path) for path in sorted(folder.iterdir())}
    (folder / MANIFEST).write_text(json.dumps(sealed(manifest), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
