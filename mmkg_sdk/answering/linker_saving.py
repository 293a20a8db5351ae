"""Linker.save: the bundle of the candidates that a linker has now, and the proof that it answers the same.

Graphs, weights and tokenizer stay as they are. docs/bundle-format.md says what such a bundle is.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..bundle import FORMAT_VERSION, Bundle
from ..bundle.contents import PROBES
from ..bundle.files import mapped_folder
from ..bundle.manifest import BUNDLE, write_manifest
from ..errors import BackendError, BundleError, DataError, ExportError
from ..files.folders import new_folder
from ..files.labels import write_labels
from ..files.tensors import write_tensors
from ..version import __version__
from .candidate_table import CandidateTable
from .linking_answers import LinkingModel, linking_answers, noise_mentions
from .probes import LIMITS, kept_outputs
from .saved_files import write_as_it_was, write_others
from .saved_proof import backend_like, check, differs

_ROWS = 1 << 10  # compared at a time: 10 MB of the published size


def save_linker(linker: LinkingModel, entities: CandidateTable, path: Path, *, overwrite: bool) -> None:
    """See Linker.save.

    Args:
        entities: of the linker, as they were when it was asked to be saved.
    """
    bundle = linker.bundle
    with new_folder(path, BUNDLE, overwrite=overwrite) as folder:
        if entities.is_the_bundles:
            write_as_it_was(bundle, folder)
            return
        _write_entities(entities, folder)
        counts = _counts(bundle, entities)
        write_others(
            bundle,
            folder,
            counts,
            f"""
## Entities added and removed later

All above, parity and sizes included, is of the {counts["exported_entities"]:,} entities that were exported, and so are
figures of the run's evaluation. Since then {counts["added_entities"]:,} were encoded and added, and
{counts["removed_entities"]:,} removed. No metric was measured with these candidates.
""",
        )
        manifest = _manifest(bundle, counts)
        _write_probes(linker, manifest, folder)
        write_manifest(folder, manifest)
        _prove(linker, entities, folder)


def _write_entities(entities: CandidateTable, folder: Path) -> None:
    try:
        write_labels(folder / "entities.txt", entities.labels)
    except DataError as err:
        raise ExportError(str(err)) from err
    with (folder / "table.safetensors").open("wb") as file:
        write_tensors(file, {name: entities.runs(name) for name in entities.segments[0].pieces})


def _counts(bundle: Bundle, entities: CandidateTable) -> dict[str, int]:
    """How many entities were exported, and since then added and removed, in all bundles of this line together."""
    before = bundle.manifest.get("provenance", {})
    own = int((entities.removed < entities.base).sum())
    return {
        "exported_entities": before.get("exported_entities", entities.base),
        "added_entities": before.get("added_entities", 0) + len(entities) - (entities.base - own),
        "removed_entities": before.get("removed_entities", 0) + own,
    }


def _manifest(bundle: Bundle, counts: dict[str, int]) -> dict[str, Any]:
    """bundle.json without hashes: no size of a model that links depends on the number of its candidates."""
    old = {name: value for name, value in bundle.manifest.items() if name not in ("seal", "files")}
    provenance = {**old.get("provenance", {}), **counts, "changed_by": f"mmkg_sdk {__version__}"}
    return {**old, "format_version": FORMAT_VERSION, "provenance": provenance}


def _opened(linker: LinkingModel, bundle: Bundle, *, compiled: bool) -> LinkingModel:
    """A bundle opened as a linker's own is, on the CPU."""
    kind: Callable[..., LinkingModel] = type(linker)
    return kind(bundle, backend_like(linker.backend, bundle), compiled=compiled)


def _write_probes(linker: LinkingModel, manifest: dict[str, Any], folder: Path) -> None:
    """What the graphs give for their probes, as it was; and the answers to the fixed questions, by graphs."""
    from safetensors.numpy import save

    kept = {name: array for name, array in kept_outputs(linker.bundle).items() if not name.startswith("answers.")}
    changed = Bundle.of(folder, manifest, mapped_folder(folder))
    with _opened(linker, changed, compiled=False) as opened:
        found = {f"answers.{name}": scores for name, scores in linking_answers(opened).items()}
    (folder / PROBES).write_bytes(save({**kept, **found}))


def _prove(linker: LinkingModel, entities: CandidateTable, folder: Path) -> None:
    """Open what was written, and compare labels, every number of the table, and answers.

    Raises:
        ExportError: it does not open, or gives something else.
    """
    try:
        bundle = Bundle.open(folder, hash_always=True)
        if bundle.entities != entities.labels:
            raise differs("labels")
        for name, array in bundle.encoded.items():
            start = 0
            for part in entities.runs(name):
                for row in range(0, len(part), _ROWS):
                    block = part[row : row + _ROWS]
                    if not np.array_equal(block, array[start + row : start + row + len(block)]):
                        raise differs(f"table ({name})")
                start += len(part)
        with _opened(linker, bundle, compiled=linker.compiled) as saved:
            _compare_answers(linker, entities, saved)
    except (BundleError, BackendError) as err:
        raise ExportError(f"the saved bundle does not open, so it was not kept: {err}") from err


def _compare_answers(linker: LinkingModel, entities: CandidateTable, saved: LinkingModel) -> None:
    """Encoders, and the scores of every candidate: to the bit where kernels make them."""
    limit, asked = LIMITS[linker.bundle.precision], noise_mentions(linker)
    pieces = linker.encode_tokens(*asked)
    for name, piece in saved.encode_tokens(*asked).items():
        check(name, piece, pieces[name], limit)
    exact = linker.has_stand_ins and saved.has_stand_ins and linker.backend.device == "cpu"
    wanted = linker.unit_scores(entities, pieces)
    for (name, scores), of_unit in zip(saved.score_pieces(pieces).items(), wanted, strict=True):
        check(f"{name} scores", scores, of_unit, limit)
        if exact and not np.array_equal(scores, of_unit):
            raise differs(f"{name} scores")
