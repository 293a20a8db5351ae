"""What many entities cost that are added to an open model in one call, beside what encoding them costs alone.

    from mmkg_sdk.bench.studies.growing import measure_growing
    measure_growing("growing.json", added=1_000_000)

or `mmkg-sdk bench study growing --added 1000000 --out growing.json`. The model is a MyGO with random weights
(stretched.py); the new entities have random tokens and no structure of their own.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..machine.conditions import Watch
from ..report.written import check_out, write_study
from .own_process import in_own_process, timed
from .stretched import stretched_bundle

_TRIPLES = 10_000
_QUERIES = 20
_TOKENS = 4  # of an entity in each modality


def measure_growing(
    out: str | Path,
    *,
    entities: int = 10_000,
    added: int = 20_000,
    width: int = 64,
    threads: int | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Make a bundle, add entities to it, and measure each step.

    Args:
        out: the JSON file to write.
        entities: of the bundle, at least 1,000.
        added: in one call.
        width: of a row of the table.
        threads: of the CPU; None takes `default_threads()`.

    Returns:
        What was written: conditions, sizes, "steps" as those of million.py, in order, and "times the encoder": the time
        to add, over that of the encoder alone.

    Raises:
        DataError: `out` cannot be written.
    """
    from mmkg_sdk.kernels import default_threads

    check_out(out)
    threads = default_threads() if threads is None else threads
    with tempfile.TemporaryDirectory(prefix="mmkg-growing-") as made:
        folder = Path(made) / "bundle"
        in_own_process(stretched_bundle, folder, entities, _TRIPLES, width)
        watch = Watch.start(threads)
        steps = in_own_process(_measured, folder, added, threads, Path(made) / "cache")
        watch.finish()
    for step, found in steps.items():
        say(f"{step}: {found}")
    result = {
        "what": "a MyGO bundle with random weights, and entities added to it in one call",
        "environment": watch.found,
        "entities": entities,
        "added": added,
        "width": width,
        "tokens": 2 * _TOKENS,
        "added_table_mib": round(4 * added * width / 2**20, 1),
        "steps": steps,
        "times the encoder": {
            kind: round(steps[f"added as {kind}"]["seconds"] / steps["encoder alone"]["seconds"], 3)
            for kind in ("arrays", "lists")
        },
    }
    write_study(result, out)
    return result


def _measured(folder: Path, added: int, threads: int, cache: Path) -> dict[str, dict[str, float]]:
    """Each step, in order; entities are added as arrays and, to a model that was opened again, as lists."""
    import onnxruntime  # noqa: F401  # loaded before, so that it is not counted

    from mmkg_sdk.answering.growing import ENCODED_ROWS
    from mmkg_sdk.answering.link_prediction import Model
    from mmkg_sdk.families.mygo.runtime import entity_batch

    os.environ["MMKG_CACHE"] = str(cache)
    random = np.random.default_rng(0)
    tokens = {kind: random.integers(1024, size=(added, _TOKENS)) for kind in ("visual", "text")}
    labels = [f"http://example.org/resource/Added_{i}" for i in range(added)]
    found: dict[str, dict[str, float]] = {}
    with Model.load(folder, device="cpu", threads=threads) as model:
        asked = model.entities[0]

        def encode_alone() -> None:
            for block in entity_batch(model.bundle, tokens=tokens).blocks(ENCODED_ROWS):
                model.encode_batch(block)

        model.encode_entities(tokens={kind: rows[:1] for kind, rows in tokens.items()})  # its weights are read
        _, found["query before"] = timed(lambda: model.predict_tails(asked, 1), _QUERIES)
        _, found["encoder alone"] = timed(encode_alone, 1)
        _, found["added as arrays"] = timed(lambda: model.add_entities(labels, tokens=tokens), 1)
        _, found["query after"] = timed(lambda: model.predict_tails(asked, 1), _QUERIES)
        one = {kind: [[1]] for kind in tokens}
        more = iter(range(added))
        _, found["one entity more"] = timed(lambda: model.add_entities([f"more {next(more)}"], tokens=one), 100)
    lists = {kind: rows.tolist() for kind, rows in tokens.items()}
    with Model.load(folder, device="cpu", threads=threads) as model:
        model.encode_entities(tokens={kind: rows[:1] for kind, rows in tokens.items()})
        _, found["added as lists"] = timed(lambda: model.add_entities(labels, tokens=lists), 1)
    return found
