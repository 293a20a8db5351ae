"""Model.save: the bundle of a model with the entities that were added to it, and the proof that it answers the same.

Graphs and weights stay as they are: they do not depend on the number of entities, but for the table in complete.onnx.
docs/bundle-format.md says what a grown bundle is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bundle import FORMAT_VERSION, Bundle
from ..bundle.complete_graph import complete_of, complete_outputs
from ..bundle.contents import KNOWN_TRIPLES, PROBES
from ..bundle.files import mapped_folder
from ..bundle.manifest import BUNDLE, TRAINED, write_manifest
from ..errors import DataError, ExportError
from ..families.entity_batch import of_one_width
from ..files.folders import new_folder
from ..files.labels import write_labels
from ..files.tensors import map_file, place_of, write_tensors
from ..version import __version__
from .entity_table import EntityTable
from .link_model import LinkModel, link_answers
from .probes import kept_outputs
from .saved_files import write_as_it_was, write_others
from .saved_proof import complete_probe, prove, saved_model

_CARD_HEAD = "\n## Entities added later\n"
Parts = Sequence[NDArray[Any]]


def save_model(model: LinkModel, entities: EntityTable, path: Path, *, overwrite: bool) -> None:
    """See Model.save.

    Args:
        entities: of the model, as they were when it was asked to be saved.
    """
    bundle = model.bundle
    with new_folder(path, BUNDLE, overwrite=overwrite) as folder:
        if len(entities) == entities.base:
            write_as_it_was(bundle, folder)
            return
        _write_entities(bundle, entities, folder)
        manifest = _manifest(bundle, len(entities))
        _write_complete(bundle, manifest, folder)
        _write_others(bundle, manifest, folder)
        _write_probes(model, manifest, folder)
        write_manifest(folder, manifest)
        prove(model, entities, folder)


def _write_entities(bundle: Bundle, entities: EntityTable, folder: Path) -> None:
    """Labels, table and inputs, and the index of known triples where the bundle has none yet."""
    try:
        write_labels(folder / "entities.txt", entities.labels)
    except DataError as err:
        raise ExportError(str(err)) from err
    table: dict[str, Parts] = {name: entities.parts_of(name) for name in entities.encoded}
    tensors: dict[str, Any] = {"table": table, "inputs": dict(_inputs(bundle, entities))}
    if KNOWN_TRIPLES not in bundle.tensors:
        tensors[KNOWN_TRIPLES] = bundle.known_triples.arrays()
    for name, arrays in tensors.items():
        with (folder / f"{name}.safetensors").open("wb") as file:
            write_tensors(file, arrays)


def _inputs(bundle: Bundle, entities: EntityTable) -> Iterator[tuple[str, Parts]]:
    """What all entities were encoded from, by name."""
    added = entities.inputs.parts(len(entities) - entities.base)
    for name, own in bundle.inputs.items():
        given = [part.get(name) for part in added]
        sizes = [len(next(iter(part.values()))) for part in added]
        # Only a structure may be absent: it is the mean.
        rows = [
            np.broadcast_to(bundle.mean_structure, (size, own.shape[1])) if array is None else array
            for array, size in zip(given, sizes, strict=True)
        ]
        yield name, of_one_width([own, *rows])


def _manifest(bundle: Bundle, count: int) -> dict[str, Any]:
    """bundle.json for so many entities, without hashes."""
    old = {name: value for name, value in bundle.manifest.items() if name not in ("seal", "files")}
    graphs = {name: dict(spec) for name, spec in old["graphs"].items()}
    for spec in graphs.values():
        if "num_entities" in spec["axes"]:
            least, _, most = spec["axes"]["num_entities"]
            spec["axes"] = {**spec["axes"], "num_entities": [least, count, max(most, count)]}
    complete = graphs["complete"]
    complete["outputs"] = complete_outputs(count, complete["outputs"])
    return {
        **old,
        "format_version": FORMAT_VERSION,
        "config": {**old["config"], "num_entities": count},
        "graphs": graphs,
        TRAINED: bundle.num_trained,
        "provenance": {
            **old.get("provenance", {}),
            "added_entities": count - bundle.num_trained,
            "added_by": f"mmkg_sdk {__version__}",
        },
    }


def _write_complete(bundle: Bundle, manifest: dict[str, Any], folder: Path) -> None:
    """The graph that has the table inside."""
    with (folder / "table.safetensors").open("rb") as file:
        table = place_of(map_file(file), "vectors")
    best = manifest["graphs"]["complete"]["outputs"][0]["shape"][1]
    (folder / "complete.onnx").write_bytes(complete_of(bundle.files["complete.onnx"], table, best))


def _write_others(bundle: Bundle, manifest: dict[str, Any], folder: Path) -> None:
    """All other files: as they are, with a word of what holds for the exported entities alone."""
    added, trained = manifest["provenance"]["added_entities"], manifest[TRAINED]
    write_others(
        bundle,
        folder,
        {"entities": trained, "added_entities": added},
        f"""{_CARD_HEAD}
All above, parity and sizes included, is of the {trained:,} entities that were exported, and so are figures of the run's
evaluation. {added:,} more were encoded from their modalities without training and added later. No metric was measured
with them: they are candidates of every query, too.
""",
    )


def _write_probes(model: LinkModel, manifest: dict[str, Any], folder: Path) -> None:
    """What the graphs give for their probes, as it was but for the table inside of one; and the answers, by graphs."""
    from safetensors.numpy import save

    kept = {
        name: array
        for name, array in kept_outputs(model.bundle).items()
        if not name.startswith(("complete.", "answers."))
    }
    grown = Bundle.of(folder, manifest, mapped_folder(folder))
    with saved_model(model, grown, compiled=False) as opened:
        found = {**kept, "complete.scores": complete_probe(opened), **_answers(opened)}
    (folder / PROBES).write_bytes(save(found))


def _answers(model: LinkModel) -> dict[str, NDArray[np.float32]]:
    """Those to the fixed questions, by the names that asked.py gives them."""
    return {f"answers.{name}": np.asarray(array, np.float32) for name, array in link_answers(model).items()}
