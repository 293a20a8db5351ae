"""The main job on the embedded data, end to end: prepare, train, export, prove, answer, measure."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from .answering.opening import load
from .errors import DataError
from .evaluation.subjects import EVALUATIONS
from .families import contract
from .families.measuring import measuring
from .files.folders import FolderKind, new_folder
from .registry import LINK_PREDICTION, family_name

# Other than a data set in general, this one is ours to replace.
_TOKENIZED = FolderKind("tokenised data set", DataError, "Pass another folder.", marker="tokens.json")


@dataclass(frozen=True)
class Lesson:
    """What was made of one data source.

    Attributes:
        folder: holds run/, bundle/, and where there are some data/ and bench/.
        metrics: of the test split, answered by the bundle.
        parity: table of differences from float64 torch.
        answers: text of a few answered test queries.
        throughput: text tables of what was measured; empty where nothing was.
        seconds: wall-clock time of each stage.
    """

    source: str
    folder: Path
    metrics: dict[str, float]
    parity: str
    answers: str
    throughput: str
    seconds: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"folder": str(self.folder)}


def run_quickstart(
    folder: Path, *, family: str = "mygo", overwrite: bool = False, say: Callable[[str], None] | None = None
) -> list[Lesson]:
    """Do the main job for every task of a family; everything lands in `folder`.

    A family with several tasks gets a folder for each, named like its data. They are trained at the same time.

    Args:
        say: is told what happens, one line at a time; of several tasks in processes of their own. None:
            nobody.

    Raises:
        DataError: the folder is there and not empty, and `overwrite` is false.
    """
    from .bench.report.png import check_plotting

    if folder.exists() and any(folder.iterdir()) and not overwrite:
        raise DataError(f"{folder} is not empty. Pass --overwrite, or another folder with --out.")
    check_plotting()
    say = say or _nobody
    family = family_name(family)
    sources = contract.config_part(family).EMBEDDED_DATA
    folders = {name: folder if len(sources) == 1 else folder / name for name in sources}
    first, *others = taught(family, folders, say)
    # The tasks of a family share its encoders, so the first one is measured: when nothing else runs.
    return [_measured(family, first, say), *others]


def _nobody(line: str) -> None:
    """Is told what happens."""


def taught(family: str, folders: Mapping[str, Path], say: Callable[[str], None], **settings: Any) -> list[Lesson]:
    """A lesson for each data source, all at once in processes of their own: each trains in one thread.

    Args:
        folders: by data source.
        say: known to pickle.
        settings: of the trainings; they win over the presets'.
    """
    with ProcessPoolExecutor(len(folders), mp_context=get_context("spawn")) as pool:
        lessons = [pool.submit(_lesson, family, source, place, say, settings) for source, place in folders.items()]
        return [lesson.result() for lesson in lessons]


def _lesson(family: str, source: str, folder: Path, say: Callable[[str], None], settings: Mapping[str, Any]) -> Lesson:
    from .answering.samples import sample_answers
    from .data.open import open_data
    from .export import export_bundle
    from .training.session import start_training

    folder.mkdir(parents=True, exist_ok=True)
    clock = _Clock(say)
    data = source
    if contract.config_part(family).READS_TOKENS:
        with clock.stage("data", "Tokenising the atlas: a word-piece vocabulary and an image codebook learned from it"):
            data = _tokenized_atlas(folder / "data")
    with clock.stage("train", f"Training {family} on {source}"):
        preset = source if source in contract.config_part(family).PRESETS else "atlas"
        run, _ = start_training(family, data, folder / "run", settings=settings, preset=preset, overwrite=True)
    with clock.stage("export", "Exporting to ONNX and comparing with float64 torch"):
        report = export_bundle(run, folder / "bundle", overwrite=True, progress=say)
    with clock.stage("answer", "Answering the test queries"), load(folder / "bundle") as opened:
        task = opened.bundle.config.task
        held = None if task == LINK_PREDICTION else data
        metrics = EVALUATIONS[task].evaluate_bundle(opened, "test", held).metrics()
        answers = sample_answers(opened, open_data(data))
    return Lesson(source, folder, metrics, str(report), answers, "", clock.seconds)


def _measured(family: str, lesson: Lesson, say: Callable[[str], None]) -> Lesson:
    """The lesson with what its bundle does in a second."""
    from .bench import report_table, run_benchmark

    clock = _Clock(say)
    with clock.stage("bench", "Measuring throughput against token count, and latency"):
        rows = run_benchmark(
            lesson.folder / "bundle",
            lesson.folder / "bench",
            measuring(family).QUICK_COUNTS,
            modes=("single-stream", "throughput"),
            seconds=0.1,
            rounds=1,
            progress=say,
        )
        table = report_table(rows)
    return replace(lesson, throughput=table, seconds=lesson.seconds | clock.seconds)


def _tokenized_atlas(folder: Path) -> str:
    from .data.open import raw_dataset
    from .data.tokens.tokenize import tokenize_dataset
    from .data.write import write_dataset

    with raw_dataset("atlas") as (dataset, images):
        dataset = tokenize_dataset(dataset, images=images)
    with new_folder(folder, _TOKENIZED, overwrite=True) as place:
        write_dataset(dataset, place)
    return str(folder)


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
