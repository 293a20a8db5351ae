"""Draw mutants, judge each, count what came of them."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from .judge import Judge
from .mutants import Mutant, apply, mutants
from .subjects import make_subjects

# Files whose content nothing else in a bundle can contradict, once everything is signed again: that is another bundle.
_FREE = ("entities.txt", "relations.txt", "tags.txt", "triples.safetensors", "tokenizer.json")
_BLOCK = 200  # mutants of one seed


@dataclass
class Report:
    """What came of a campaign."""

    began: float = field(default_factory=time.monotonic)
    mutants: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    failures: list[dict[str, Any]] = field(default_factory=list)

    def add(self, mutant: Mutant, outcomes: dict[str, str]) -> None:
        self.mutants += 1
        self.kinds[f"{mutant['subject']}: {mutant['kind']}"] += 1
        for way, outcome in outcomes.items():
            if outcome == "different" and mutant["signed"] == "all" and mutant["file"] in _FREE:
                outcome = "another bundle"
            self.outcomes[outcome.partition(" ")[0] if outcome.startswith("failed") else outcome] += 1
            if outcome.startswith(("failed", "different")):
                self.failures.append({"mutant": mutant, "way": way, "outcome": outcome})

    def to_json(self) -> dict[str, Any]:
        """The report with the machine and the versions that made it."""
        packages = ("mmkg_sdk", "numpy", "onnxruntime", "torch", "safetensors", "tokenizers", "hypothesis")
        return {
            "environment": {
                "python": platform.python_version(),
                "machine": platform.platform(),
                "threads": os.environ.get("OMP_NUM_THREADS"),
                **{package: version(package) for package in packages},
            },
            "minutes": round((time.monotonic() - self.began) / 60, 2),
            "mutants": self.mutants,
            "outcomes": dict(self.outcomes.most_common()),
            "kinds": dict(sorted(self.kinds.items())),
            "failures": self.failures,
        }


def run(first_seed: int, *, minutes: float = 0, most: int = 1 << 62) -> Report:
    """A campaign of so many minutes or mutants, whichever ends first; equal seeds draw equal mutants."""
    with tempfile.TemporaryDirectory(prefix="mmkg-fuzz-") as place:
        subjects = make_subjects(Path(place) / "subjects")
        report, judge, block = Report(), Judge(subjects), first_seed
        deadline = report.began + 60 * minutes if minutes else float("inf")
        try:
            while report.mutants < most and time.monotonic() < deadline:
                _run_block(block, subjects, judge, report, deadline, most)
                block += 1
        finally:
            judge.close()
        return report


def _run_block(
    number: int, subjects: dict[str, Path], judge: Judge, report: Report, deadline: float, most: int
) -> None:
    @seed(number)
    @settings(
        max_examples=_BLOCK,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(mutants(subjects))
    def judged(mutant: Mutant) -> None:
        if report.mutants >= most or time.monotonic() >= deadline:
            return
        with tempfile.TemporaryDirectory(prefix="mmkg-fuzz-") as place:
            folder = Path(place) / "bundle"
            shutil.copytree(subjects[mutant["subject"]], folder)
            if apply(mutant, folder):
                report.add(mutant, judge.outcomes(mutant["subject"], folder))

    judged()
