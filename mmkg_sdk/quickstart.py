"""The main job on the embedded data set, end to end: tokenise, train, export, prove, answer, measure."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .errors import DataError
from .known_triples import HEAD, TAIL
from .model import Model
from .opening import load
from .predictions import Predictions

_QUESTIONS_PER_RELATION = 1
_TOKEN_COUNTS = (4, 8, 18, 34, 66)


@dataclass(frozen=True)
class Quickstart:
    """What a quickstart made and found.

    Attributes:
        folder: holds data/, run/, bundle/ and bench/.
        metrics: of the test split.
        answers: text of a few answered test queries.
        throughput: text table, entities per second against token count.
        seconds: wall-clock time of each stage.
    """

    folder: Path
    metrics: dict[str, float]
    parity: str
    answers: str
    throughput: str
    seconds: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        return {"folder": str(self.folder), "metrics": self.metrics, "seconds": self.seconds, "answers": self.answers}


def run_quickstart(
    folder: Path, *, family: str = "mygo", overwrite: bool = False, say: Callable[[str], None] = lambda line: None
) -> Quickstart:
    """Tokenise the atlas, train, export, check parity, answer and measure; everything lands in `folder`.

    Raises:
        DataError: the folder is there and not empty, and `overwrite` is false.
    """
    from .bench import run_benchmark
    from .bench.plot import check_matplotlib
    from .data.open import raw_dataset
    from .data.tokenize import tokenize_dataset
    from .data.write import write_dataset
    from .evaluation.link_prediction import evaluate_bundle
    from .export import export_bundle
    from .training.session import start_training

    if folder.exists() and any(folder.iterdir()) and not overwrite:
        raise DataError(f"{folder} is not empty. Pass --overwrite, or another folder with --out.")
    check_matplotlib()
    folder.mkdir(parents=True, exist_ok=True)
    clock = _Clock(say)

    with clock.stage("data", "Tokenising the atlas: a word-piece vocabulary and an image codebook learned from it"):
        with raw_dataset("atlas") as (dataset, images):
            dataset = tokenize_dataset(dataset, images=images)
        shutil.rmtree(folder / "data", ignore_errors=True)
        write_dataset(dataset, folder / "data")
    with clock.stage("train", "Training"):
        run, _ = start_training(
            family, str(folder / "data"), folder / "run", settings={}, preset="atlas", overwrite=True
        )
    with clock.stage("export", "Exporting to ONNX and comparing with float64 torch"):
        report = export_bundle(run, folder / "bundle", overwrite=True, progress=say)
    with clock.stage("answer", "Answering the test questions"), load(folder / "bundle") as model:
        metrics = evaluate_bundle(model, "test", None).metrics()
        answers = _answers(model)
    with clock.stage("bench", "Measuring throughput against token count"):
        benchmark = run_benchmark(
            folder / "bundle", folder / "bench", _TOKEN_COUNTS, seconds=0.2, rounds=1, progress=say
        )
    return Quickstart(folder, metrics, str(report), answers, benchmark.table(), clock.seconds)


def _answers(model: Model) -> str:
    """One test question per relation, with the right answer marked."""
    triples = model.bundle.triples["test"]
    lines = []
    for relation in range(len(model.relations)):
        for triple in triples[triples[:, 1] == relation][:_QUESTIONS_PER_RELATION]:
            # A country has one capital but a continent has many countries: ask for the side with fewer answers.
            direction = TAIL if _fan_out(triples, relation, 0) <= _fan_out(triples, relation, 2) else HEAD
            if direction == TAIL:
                found, right = model.predict_tails(int(triple[0]), relation, 3, filter_known=False), int(triple[2])
            else:
                found, right = model.predict_heads(relation, int(triple[2]), 3, filter_known=False), int(triple[0])
            lines.append(_marked(found, model.entities[right]))
    return "\n".join(lines)


def _marked(found: Predictions, right: str) -> str:
    lines = [found[0].query]
    for rank, (label, score) in enumerate(found[0], start=1):
        mark = "  <- the answer in the test split" if label == right else ""
        lines.append(f"  {rank}. {label}  ({score:.2f}){mark}")
    return "\n".join(lines)


def _fan_out(triples: np.ndarray, relation: int, side: int) -> float:
    """Mean number of triples of a relation for each entity on one side."""
    chosen = triples[triples[:, 1] == relation][:, side]
    return len(chosen) / max(1, len(np.unique(chosen)))


class _Clock:
    """Times the stages and announces them."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say
        self.seconds: dict[str, float] = {}
        self._name, self._began = "", 0.0

    def stage(self, name: str, announcement: str) -> _Clock:
        self.say(f"[{name}] {announcement}")
        self._name, self._began = name, time.monotonic()
        return self

    def __enter__(self) -> _Clock:
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds[self._name] = round(time.monotonic() - self._began, 1)
