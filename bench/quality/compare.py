"""compare_results: what changed between two measurements, of speed (report/compare.py) or of quality.

Of quality, rows are matched by what was changed and how much. A row is what a bundle loses by that, with its own 95 %
interval; so what two bundles lose differs with the interval of the difference of two independent estimates: each side's
distance to its limit, squared, added (Zou and Donner 2008). Where both were measured on the same items, it is too wide
rather than too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mmkg_sdk.errors import DataError

from ..report.compare import Comparison, Verdict, compare_reports, differing_conditions, said_conditions
from ..report.results import read_report, read_results
from ..report.table import aligned
from .results import BENCHMARK, QualityReport, Row, quality_report
from .table import metric_name

AS_IT_IS = "the bundle as it is"
_LEGEND = (
    "{metric} x 100: of the bundle as it is; of all else what it loses or gains by that. Interval: 95 %, as if each "
    "side had items of its own, so it is too wide where they are the same ones. Per second: a change counts where the "
    "ranges of the samples do not overlap."
)


@dataclass(frozen=True)
class QualityChange:
    """One number of one row on both sides.

    Attributes:
        what: the row, in words.
        number: the metric, or "per_second".
        before, after: of the bundle as it is the metric; of a row what is lost or gained, or what is encoded in a
            second.
        low, high: the interval of the change from `before` to `after`.
    """

    what: str
    number: str
    before: float
    after: float
    low: float
    high: float

    @property
    def verdict(self) -> Verdict:
        """Higher is better; "no difference" where the interval reaches 0."""
        return "better" if self.low > 0 else "worse" if self.high < 0 else "no difference"


@dataclass(frozen=True)
class QualityComparison:
    """Attributes:
    metric: which one is compared.
    conditions: what differs in environment, settings and bundle: name -> both values, None where one lacks it.
    warnings: what makes the changes doubtful.
    changes: rows that both sides measured.
    unmatched: rows without a counterpart, and where they are.
    """

    metric: str
    conditions: dict[str, tuple[Any, Any]]
    warnings: tuple[str, ...]
    changes: tuple[QualityChange, ...]
    unmatched: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Conditions, warnings, changes and what has no counterpart, as plain values."""
        return asdict(self) | {"changes": [asdict(one) | {"verdict": one.verdict} for one in self.changes]}

    def table(self) -> str:
        """For people; conditions first, for they may be why anything changed."""
        cells = [["what", "number", "before", "after", "change", "interval", ""]]
        for one in self.changes:
            is_speed = one.number == "per_second"
            scale, form, sign = (1, ",.0f", "+,.0f") if is_speed else (100, ".2f", "+.2f")
            values = [f"{scale * value:{form}}" for value in (one.before, one.after)]
            change, low, high = (f"{scale * value:{sign}}" for value in (one.after - one.before, one.low, one.high))
            name = "per second" if is_speed else self.metric
            cells.append([one.what, name, *values, change, f"{low} to {high}", one.verdict])
        legend = _LEGEND.format(metric=self.metric)
        sections = [said_conditions(self.conditions), "\n".join(self.warnings), f"{aligned(cells)}\n{legend}"]
        return "\n\n".join(section for section in [*sections, "\n".join(self.unmatched)] if section)


def compare_results(before: str | Path, after: str | Path) -> Comparison | QualityComparison:
    """What changed from one results.json to another.

    Raises:
        DataError: a file cannot be read, or they are of different commands, metrics or items.
    """
    paths = before, after
    found = [read_results(path, "bench run, gpu or quality") for path in paths]
    are_quality = [one.get("benchmark") == BENCHMARK for one in found]
    if not any(are_quality):
        return compare_reports(read_report(before), read_report(after))
    if not all(are_quality):
        own, other = paths[are_quality.index(True)], paths[are_quality.index(False)]
        raise DataError(f"{own} is of `bench quality`, {other} is not. Compare two of the same command.")
    old, new = (quality_report(one, path) for one, path in zip(found, paths, strict=True))
    if (old.metric, old.items) != (new.metric, new.items):
        sides = [f"{path} has {one.metric} of {one.items}" for path, one in zip(paths, (old, new), strict=True)]
        raise DataError(f"{', '.join(sides)}. Compare results of the same task.")
    return compare_quality(old, new)


def compare_quality(before: QualityReport, after: QualityReport) -> QualityComparison:
    """What changed between two reports of the same task; rows are matched by what was changed, and how much."""
    sides = before, after
    starts, ends = ([one.baseline[name] for name in ("value", "low", "high")] for one in sides)
    changes = [_change(AS_IT_IS, before.metric, starts, ends)]
    old, new = ({(row.part, row.change, row.level): row for row in report.rows} for report in sides)
    unmatched = []
    for identity in dict.fromkeys([*old, *new]):
        what = ": ".join(identity[1:])
        first, second = old.get(identity), new.get(identity)
        if first is None or second is None:
            unmatched.append(f"only {'after' if first is None else 'before'}: {what}")
            continue
        changes.append(_change(what, before.metric, *([row.difference, row.low, row.high] for row in (first, second))))
        if first.per_second is not None and second.per_second is not None:
            changes.append(_speed_change(what, first, second))
    return QualityComparison(
        metric_name(before), differing_conditions(before, after), _warnings(sides), tuple(changes), tuple(unmatched)
    )


def _change(what: str, number: str, before: Sequence[float], after: Sequence[float]) -> QualityChange:
    """From value, low and high of each side."""
    (old, old_low, old_high), (new, new_low, new_high) = before, after
    low = new - old - math.hypot(new - new_low, old_high - old)
    high = new - old + math.hypot(new_high - new, old - old_low)
    return QualityChange(what, number, old, new, low, high)


def _speed_change(what: str, before: Row, after: Row) -> QualityChange:
    """The interval is from the lowest to the highest sample."""
    old, new = ([row.per_second, row.per_second_min, row.per_second_max] for row in (before, after))
    (was, slowest, fastest), (now, least, most) = ([value or 0.0 for value in side] for side in (old, new))
    return QualityChange(what, "per_second", was, now, least - fastest, most - slowest)


def _warnings(sides: tuple[QualityReport, QualityReport]) -> tuple[str, ...]:
    found = []
    for side, report in zip(("before", "after"), sides, strict=True):
        if report.environment.get("loaded_machine"):
            found.append(
                f"{side}: other work took about {report.environment['other_load']} cores meanwhile, which speeds show."
            )
        if not report.complete:
            found.append(f"{side}: the measurement did not come to its end.")
    counts = [f"{report.count:,} {report.items} ({report.settings['split']})" for report in sides]
    if counts[0] != counts[1]:
        found.append(f"before {counts[0]}, after {counts[1]}: the items are not the same.")
    return tuple(found)
