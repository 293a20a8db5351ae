"""Fixtures that several test files share; what takes long to make is made once for all workers."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from mmkg_sdk.answering.entity_recognition import Tagger
from mmkg_sdk.answering.relation_extraction import Extractor
from mmkg_sdk.bundle import tracing
from mmkg_sdk.data.mentions import LinkingData
from mmkg_sdk.export import export_bundle, import_checkpoint
from mmkg_sdk.run import Run
from tests.families.mimic.small import random_run, world
from tests.families.mkgformer.sentence_bundles import toy_bundle
from tests.once import once
from tests.places import GOLDEN
from tests.traces import trace_anew, traced_once

# Tests are many small runs: more threads than cores, over all workers, would only wait for each other.
_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
os.environ.setdefault("OMP_NUM_THREADS", str(min(2, max(1, (os.cpu_count() or 1) // _WORKERS))))

# Tracing makes millions of objects, hardly any of them in circles: to look for those as often as Python does took a
# tenth of the time.
gc.set_threshold(10_000, 20, 10)

# What a shell runs in the background ignores Ctrl-C, and so would the commands that the tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _graphs_are_traced_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with traced_once(once(tmp_path_factory, "traces", lambda folder: None)):
        yield


@pytest.fixture
def traced_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests whose subject is how a graph is traced."""
    monkeypatch.setattr(tracing, "trace_graph", trace_anew)


def import_golden(name: str, out: Path, family: str = "mygo") -> Run:
    """An official checkpoint in miniature as a run."""
    case = GOLDEN / family / name
    settings = {}
    if name.startswith(("mre_", "mner_")):  # what no file tells: how far the authors padded
        with np.load(case / "inputs.npz") as inputs:
            settings["max_length"] = inputs["input_ids"].shape[1]
    return import_checkpoint(
        family,
        case / "checkpoint.pt",
        out,
        inputs=case / "inputs.npz",
        config=case / "config.json",
        settings=settings,
    )


@pytest.fixture(scope="session")
def golden_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run.open(_golden(tmp_path_factory, "db15k_like", "fp32", "mygo") / "run")


@pytest.fixture(scope="session")
def golden_bundle(golden_bundles: Callable[..., Path]) -> Path:
    """An fp32 bundle of the golden run. Read-only: copy it before changing anything."""
    return golden_bundles("db15k_like", "fp32")


@pytest.fixture(scope="session")
def golden_bundles(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """The bundle of a golden case in a precision (and of a family), exported when first asked for. Read-only, too."""
    return lambda case, precision, family="mygo": _golden(tmp_path_factory, case, precision, family) / "bundle"


def _golden(factory: pytest.TempPathFactory, case: str, precision: str, family: str) -> Path:
    """A folder with the "run" and the "bundle" of a golden case."""

    def make(folder: Path) -> None:
        export_bundle(import_golden(case, folder / "run", family), folder / "bundle", precision=precision)

    return once(factory, f"{family}-{case}-{precision}", make)


@pytest.fixture(scope="session")
def small_world(tmp_path_factory: pytest.TempPathFactory) -> LinkingData:
    """Seven entities that mentions may mean. Read-only, as all that follows."""
    return world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="session")
def small_run(small_world: LinkingData, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A MIMIC of random weights on the small world."""
    return random_run(tmp_path_factory.mktemp("small") / "run", small_world)


@pytest.fixture(scope="session")
def small_bundle(small_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    def make(folder: Path) -> None:
        export_bundle(small_run, folder / "bundle", precision="fp16")

    return once(tmp_path_factory, "mimic-small", make) / "bundle"


@pytest.fixture(scope="session")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a random MKGformer on the toy texts of "mre" or "mner": "data", "run", "bundle"."""

    def folder(task: str) -> Path:
        return once(tmp_path_factory, f"toy-{task}", lambda out: toy_bundle(task, out, whole_as_crop=True))

    return folder


@pytest.fixture(scope="session")
def extractor(toys: Callable[[str], Path]) -> Iterator[Extractor]:
    with Extractor.load(toys("mre") / "bundle", device="cpu") as opened:
        yield opened


@pytest.fixture(scope="session")
def tagger(toys: Callable[[str], Path]) -> Iterator[Tagger]:
    with Tagger.load(toys("mner") / "bundle", device="cpu") as opened:
        yield opened


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    from PIL import Image

    noise = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "picture.png")
    return tmp_path / "picture.png"
