"""QualityReport: what each condition made of the metric, as JSON and CSV; table.py and shown.py show it to people."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from mmkg_sdk.errors import DataError
from mmkg_sdk.files.atomic import write_atomically

from ..changes.conditions import Part
from ..machine.conditions import load_remark
from ..report.results import check_version
from .frontier import RULE

FORMAT_VERSION, BENCHMARK = 1, "quality"
RESULTS_JSON, RESULTS_CSV, QUALITY_PNG, REPORT_HTML = "results.json", "results.csv", "quality.png", "report.html"
# Of a row, those with one value each, in the order of the columns.
_COLUMNS = (
    *("part", "change", "level", "value", "difference", "low", "high", "beside_anew"),
    *("per_second", "per_second_min", "per_second_max", "frontier", "recommended"),
)


@dataclass(frozen=True)
class Row:
    """A condition beside the bundle as it is.

    Attributes:
        part, change, level, settings: see Condition.
        value: the metric, the mean over seeds.
        by_seed: the metric with each seed.
        difference: of `value` from the bundle as it is; or from the row "the same pictures, seen anew" where
            `beside_anew`, for training moved the features that the bundle has.
        low, high: the 95 % interval of the difference by a paired bootstrap over the test items.
        metrics: all metrics of the evaluation, means over seeds.
        per_second: what is encoded in a second, the median of all samples; of the frontier alone.
        frontier: whether no other setting is as good and as fast, and better in one.
        recommended: see RULE.
    """

    part: Part
    change: str
    level: str
    settings: Mapping[str, Any]
    value: float
    by_seed: Sequence[float]
    difference: float
    low: float
    high: float
    metrics: Mapping[str, float]
    per_second: float | None = None
    per_second_min: float | None = None
    per_second_max: float | None = None
    frontier: bool = False
    recommended: bool = False
    beside_anew: bool = False

    @property
    def is_certain(self) -> bool:
        """Whether the interval of the difference lies on one side of 0."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class QualityReport:
    """Attributes:
    complete: whether all conditions are there.
    bundle: name, family, task and precision.
    settings: parts, split, seeds, resamples, seconds, threads.
    metric: which one `value` is.
    items: what the test split has of, and `count` how many were measured.
    unit: what `per_second` counts.
    baseline: of the bundle as it is: value, low and high (a 95 % bootstrap interval), and all metrics.
    left_out: what could not be measured, and why, in sentences.
    """

    complete: bool
    bundle: Mapping[str, Any]
    settings: Mapping[str, Any]
    environment: Mapping[str, Any]
    metric: str
    items: str
    count: int
    unit: str
    baseline: Mapping[str, Any]
    rows: tuple[Row, ...]
    left_out: tuple[str, ...]

    def of_part(self, part: Part) -> list[Row]:
        """In the order in which they were measured."""
        return [row for row in self.rows if row.part == part]

    def remarks(self) -> list[str]:
        """What a reader must know before the numbers."""
        found = [*self.left_out, *load_remark(self.environment)]
        return found if self.complete else ["The measurement did not come to its end.", *found]

    def to_json(self) -> dict[str, Any]:
        """Everything."""
        rule = {"rule": RULE} if self.of_part("frontier") else {}
        return {"format_version": FORMAT_VERSION, "benchmark": BENCHMARK, **asdict(self), **rule}

    def to_csv(self) -> str:
        """One line per row, with all metrics; empty where there is none."""
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        metrics = list(self.baseline["metrics"])
        writer.writerow([*_COLUMNS, *metrics])
        for row in self.rows:
            found = asdict(row)
            writer.writerow([*(found[name] for name in _COLUMNS), *(row.metrics[name] for name in metrics)])
        return file.getvalue()

    def save(self, folder: Path) -> None:
        """Write results.json and results.csv."""
        content = json.dumps(self.to_json(), indent=1, allow_nan=False, ensure_ascii=False) + "\n"
        write_atomically(folder / RESULTS_JSON, content.encode())
        write_atomically(folder / RESULTS_CSV, self.to_csv().encode())


def quality_report(found: Mapping[str, Any], path: str | Path) -> QualityReport:
    """A report from what its results.json holds.

    Raises:
        DataError: it is of another format version, or damaged.
    """
    check_version(found, path, (FORMAT_VERSION,))
    try:
        own = {one.name: found[one.name] for one in fields(QualityReport)}
        rows = tuple(Row(**row) for row in own.pop("rows"))
        numbers = [own["baseline"][name] for name in ("value", "low", "high")]
        numbers += [value for row in rows for value in (row.value, row.difference, row.low, row.high)]
        if not all(isinstance(value, int | float) for value in numbers):
            raise ValueError("a number of it is none")
        return QualityReport(**own | {"rows": rows, "left_out": tuple(own["left_out"])})
    except (KeyError, TypeError, ValueError) as err:
        raise DataError(f"{path} is damaged ({type(err).__name__}: {err}). Measure again.") from err
