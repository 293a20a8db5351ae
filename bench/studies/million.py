"""What a bundle of a million entities costs: to open it, to ask the first query, candidates, one more entity.

    from mmkg_sdk.bench.studies.million import measure_million
    measure_million("million.json", entities=1_000_000, triples=5_000_000)

or `mmkg-sdk bench study million --entities 1000000 --out million.json`. The bundle is a MyGO with random weights
(stretched.py), and is kept where `folder` says. It is opened twice, each time in a process of its own, with a cache
that is empty the first time.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ..machine.conditions import Watch
from ..machine.environment import bundle_sha256
from ..report.written import check_out, write_study
from .own_process import in_own_process, timed
from .stretched import stretched_bundle

_Found = TypeVar("_Found")
_REPEATS = 20
_GIVEN = {"visual_tokens": [[1, 2]], "text_tokens": [[3]]}


def measure_million(
    out: str | Path,
    *,
    entities: int = 1_000_000,
    triples: int = 5_000_000,
    width: int = 256,
    folder: Path | None = None,
    threads: int | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Make the bundle, unless it stands there, and measure each step.

    Args:
        out: the JSON file to write.
        entities, triples, width: sizes of the bundle.
        folder: where it is kept; None: it is removed at the end.
        threads: of the CPU; None takes `default_threads()`.

    Returns:
        What was written: conditions, sizes of the files, and "steps": for each opening, the steps in order with
        `seconds`, `cpu_seconds` (of all threads), `anonymous_mib` (memory that belongs to the process alone, when the
        step ended) and `peak_mib` (the most that was resident since it began, pages of mapped files included).

    Raises:
        DataError: `out` cannot be written.
    """
    from mmkg_sdk.kernels import default_threads

    check_out(out)
    threads = default_threads() if threads is None else threads
    with tempfile.TemporaryDirectory(prefix="mmkg-million-") as made:
        folder = Path(made) / "bundle" if folder is None else folder
        if not folder.is_dir():
            say(f"making a bundle of {entities:,} entities in {folder}")
            in_own_process(stretched_bundle, folder, entities, triples, width)
        watch = Watch.start(threads)
        steps = {}
        for opening in ("opened first", "opened again"):
            steps[opening] = in_own_process(_measured, folder, threads, Path(made) / "cache")
            for step, found in steps[opening].items():
                say(f"{opening}, {step}: {found['seconds']:.4f} s, {found['cpu_seconds']:.3f} s of CPU, {found}")
        watch.finish()
        result = {
            "what": "a MyGO bundle with random weights",
            "environment": watch.found | {"bundle_sha256": bundle_sha256(folder)},
            "entities": entities,
            "triples": triples,
            "width": width,
            "file_mib": {path.name: round(path.stat().st_size / 2**20, 2) for path in sorted(folder.iterdir())},
            "steps": steps,
        }
    write_study(result, out)
    return result


def _measured(folder: Path, threads: int, cache: Path) -> dict[str, dict[str, float]]:
    """Each step of one opening, in order."""
    import onnxruntime  # noqa: F401  # loaded before, so that it is not counted

    from mmkg_sdk.answering.link_prediction import Model

    os.environ["MMKG_CACHE"] = str(cache)
    found: dict[str, dict[str, float]] = {}

    def step(name: str, work: Callable[[], _Found], repeats: int = 1) -> _Found:
        result, found[name] = timed(work, repeats)
        return result

    with step("load", lambda: Model.load(folder, device="cpu", threads=threads)) as model:
        half = np.arange(0, len(model.entities), 2)
        label = model.entities[len(model.entities) // 3]
        added = iter(range(10**6))

        def add() -> None:
            model.add_entities([f"added {next(added)}"], **_GIVEN)

        step("first query", lambda: model.predict_tails(label, 0))
        step("query", lambda: model.predict_tails(label, 1), _REPEATS)
        step("query, half of the entities named", lambda: model.predict_tails(label, 1, candidates=half), 3)
        prepared = step("candidates prepared", lambda: model.candidates(half))
        step("query, candidates prepared", lambda: model.predict_tails(label, 1, candidates=prepared), _REPEATS)
        step("first entity added", add)
        step("first query after it", lambda: model.predict_tails("added 0", 0))
        step("entity added", add, 200)
        step("query of 201 more", lambda: model.predict_tails(label, 1), _REPEATS)
        step("unknown label", lambda: _refused(lambda: model.predict_tails(label + "x", 1)))
        step("unknown label again", lambda: _refused(lambda: model.predict_tails("y" + label, 1)), 3)
        # Of the table of the bundle, for servers without the SDK; the graph is opened with the first one.
        asked = {name: np.array([id]) for name, id in (("entity", 7), ("relation", 1), ("direction", 0))}
        step("first query of complete.onnx", lambda: model.backend.run("complete", asked))
        step("query of complete.onnx", lambda: model.backend.run("complete", asked), 3)
    return found


def _refused(ask: Callable[[], object]) -> None:
    from mmkg_sdk.errors import QueryError

    try:
        ask()
    except QueryError:
        return
    raise AssertionError("a label that there is not was answered")
