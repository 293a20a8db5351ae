"""run_quality: every condition of a bundle, measured one after the other by the evaluation of its task."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from mmkg_sdk.answering.opening import load
from mmkg_sdk.backends.base import parse_device
from mmkg_sdk.bundle import Bundle
from mmkg_sdk.data.graph import SPLITS
from mmkg_sdk.errors import QueryError
from mmkg_sdk.kernels import default_threads

from ..changes.conditions import Condition, Outcome, Part, Plan, Subject, chosen_parts
from ..changes.link_plan import Counts
from ..changes.subjects import planned
from ..machine.conditions import Watch
from ..report.page import write_page
from ..report.png import check_plotting, draw_plots
from .frontier import on_frontier, recommended, speeds
from .intervals import RESAMPLES, interval, paired_interval
from .results import QUALITY_PNG, REPORT_HTML, QualityReport, Row
from .shown import quality_page, quality_plots
from .table import quality_head

MOST_SEEDS = 100


def run_quality(
    bundle: str | Path,
    out: str | Path,
    *,
    data: str | None = None,
    images: Path | None = None,
    other_images: Path | None = None,
    parts: Sequence[str] | None = None,
    tokens: Counts | None = None,
    split: str = "test",
    seeds: int = 3,
    most: int = 5000,
    seconds: float = 0.3,
    device: str = "cpu",
    threads: int | None = None,
    plot: bool = True,
    progress: Callable[[str], None] = lambda message: None,
) -> QualityReport:
    """Measure what tokens, pictures and texts are worth to a bundle.

    It writes results.json and results.csv after every row, and quality.png and report.html at the end.

    Args:
        bundle: the bundle's folder.
        out: folder for the results; those of an earlier run in it are replaced.
        data, images, other_images, tokens: of link prediction see `link_plan`; of entity linking and the sentence tasks
            the data set with the mentions or sentences, where its images lie (None: in it), and pictures of the same
            file names; of a model that is shown images with each query (MKGformer) see `pictured_plan`.
        parts: some of "frontier", "pictures", "robustness"; None = all.
        split: whose triples, mentions or sentences are measured.
        seeds: how many draws of everything that is left to chance.
        most: triples, mentions or sentences of the split at most; of more, so many are drawn with a fixed seed.
        seconds: measuring time of the encoder at each setting of the frontier.
        device, threads: of the model that is measured; None takes `default_threads()`.
        plot: draw quality.png and report.html, which need matplotlib and plotly.
        progress: is told what happens, one line at a time.

    Raises:
        BundleError: the bundle cannot be opened.
        QueryError: a bundle whose entities are not encoded from tokens or features, or that has no tokenizer; parts,
            token counts, split, seeds, `most` or seconds out of range.
        DataError: data or pictures are missing, damaged, or not the model's; `out` cannot be written.
        BackendError: no name of a device; a package is missing, those of the plots if `plot` is true included.
    """
    parse_device(device)
    chosen = chosen_parts(parts)
    _check(split, seeds, most, seconds)
    threads = default_threads() if threads is None else threads
    if plot:
        check_plotting()
    folder = Path(out)
    settings = {
        "parts": list(chosen),
        "split": split,
        "data": None if data is None else Path(data).name,
        "seeds": list(range(seeds)),
        "most": most,
        "resamples": RESAMPLES,
        "seconds": seconds,
        "threads": threads,
        "device": device,
    }
    with load(bundle, device=device, threads=threads) as opened:
        plan, subject = planned(
            opened,
            chosen,
            data=data,
            images=images,
            other_images=other_images,
            tokens=tokens or {},
            split=split,
            most=most,
            seeds=range(seeds),
        )
        folder.mkdir(parents=True, exist_ok=True)
        for name in (QUALITY_PNG, REPORT_HTML):
            (folder / name).unlink(missing_ok=True)
        report = _Quality(subject, plan, opened.bundle, settings, folder, progress).run()
    if plot:
        draw_plots(quality_plots(report), quality_head(report), folder / QUALITY_PNG)
        write_page(quality_page(report), folder / REPORT_HTML)
    return report


def _check(split: str, seeds: int, most: int, seconds: float) -> None:
    if split not in SPLITS:
        raise QueryError(f"split is {split!r:.80}; expected one of {', '.join(SPLITS)}.")
    if not 1 <= seeds <= MOST_SEEDS:
        raise QueryError(f"seeds is {seeds}; expected 1 to {MOST_SEEDS}.")
    if most < 1:
        raise QueryError(f"most is {most}; expected at least 1.")
    if not 0 < seconds <= 3600:
        raise QueryError(f"seconds is {seconds}; expected more than 0, at most 3,600.")


class _Quality:
    """The state of one measurement."""

    def __init__(
        self,
        subject: Subject,
        plan: Plan,
        bundle: Bundle,
        settings: Mapping[str, Any],
        folder: Path,
        progress: Callable[[str], None],
    ) -> None:
        self.subject, self.plan, self.folder, self.progress = subject, plan, folder, progress
        self.watch = Watch.start(settings["threads"], bundle.path, device=settings["device"])
        manifest = bundle.manifest
        self.bundle = {"name": bundle.path.name, "task": bundle.config.task}
        self.bundle |= {name: manifest[name] for name in ("family", "precision")}
        self.settings, self.rows, self.outcomes = settings, list[Row](), list[list[Outcome]]()

    def run(self) -> QualityReport:
        self.progress("the bundle as it is")
        self.before = self.subject.measure(None)
        low, high = interval(self.before.items, self.subject.value)
        numbers = {"value": self._value(self.before), "low": low, "high": high}
        self.baseline = {**numbers, "metrics": dict(self.before.metrics)}
        began, runs = time.monotonic(), sum(len(one.seeds) for one in self.plan.conditions)
        done = 0
        for condition in self.plan.conditions:
            spent = time.monotonic() - began
            left = f", about {spent / done * (runs - done):.0f} s left" if done else ""
            self.progress(f"{condition.change}: {condition.level}{left}")
            found = [self.subject.measure(condition.make(seed)) for seed in condition.seeds]
            done += len(found)
            if condition is self.plan.anew:
                self.anew = found[0]
            self.rows.append(self._row(condition, found))
            self.outcomes.append(found)
            self.report(complete=False).save(self.folder)
        self._mark()
        self.watch.finish()
        report = self.report(complete=True)
        report.save(self.folder)
        return report

    def report(self, *, complete: bool) -> QualityReport:
        return QualityReport(
            complete,
            self.bundle,
            self.settings,
            dict(self.watch.found),
            self.subject.metric,
            self.subject.items,
            len(self.before.items),
            self.subject.unit,
            self.baseline,
            tuple(self.rows),
            tuple(self.plan.left_out),
        )

    def _value(self, outcome: Outcome) -> float:
        return float(self.subject.value(outcome.items.sum(axis=0), len(outcome.items)))

    def _row(self, condition: Condition, found: Sequence[Outcome]) -> Row:
        before = self.anew if condition.beside_anew else self.before
        by_seed = [self._value(one) for one in found]
        value = float(np.mean(by_seed))
        low, high = paired_interval(before.items, [one.items for one in found], self.subject.value)
        metrics = {name: float(np.mean([one.metrics[name] for one in found])) for name in found[0].metrics}
        return Row(
            condition.part,
            condition.change,
            condition.level,
            condition.settings,
            value,
            by_seed,
            value - self._value(before),
            low,
            high,
            metrics,
            beside_anew=condition.beside_anew,
        )

    def _mark(self) -> None:
        """Speed, the frontier and the recommended setting."""
        part: Part = "frontier"
        places = [place for place, row in enumerate(self.rows) if row.part == part]
        if not places:
            return
        conditions = [self.plan.conditions[place] for place in places]
        samples = speeds(self.subject, conditions, self.settings["seconds"], self.progress)
        if self.plan.same_work:  # told apart by chance alone
            samples = [[one for own in samples for one in own]] * len(samples)
        rates = [median(own) for own in samples]
        values = [self.rows[place].value for place in places]
        best = int(np.argmax(values))
        items = self.outcomes[places[best]][0].items
        ties = [paired_interval(items, [self.outcomes[place][0].items], self.subject.value)[1] >= 0 for place in places]
        marks, chosen = on_frontier(values, rates), recommended(values, rates, ties)
        for number, place in enumerate(places):
            self.rows[place] = replace(
                self.rows[place],
                per_second=rates[number],
                per_second_min=min(samples[number]),
                per_second_max=max(samples[number]),
                frontier=marks[number],
                recommended=number == chosen,
            )
