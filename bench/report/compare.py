"""compare_reports: what changed between two measurements, and what lies within their noise.

A change counts where the noise of the two sides (percentiles.py) does not overlap, and where it is more than 1 %. The
noise floor printed beside it is the change, in that direction, that would just have been hidden.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

from .results import BenchReport, Row, axis_name
from .table import aligned

Verdict = Literal["better", "worse", "no difference"]

# The numbers that are compared, and whether more is better.
_COMPARED = {
    "per_second": True,
    "gpu_ms_p50": False,
    "gpu_ms_p99": False,
    "gpu_graph_ms_p50": False,
    "latency_ms_p50": False,
    "latency_ms_p99": False,
    "first_answer_ms": False,
    "resident_mib": False,
    "peak_mib": False,
    "mj_per_item": False,
    "gpu_peak_mib": False,
}
# What differs between any two runs and explains nothing.
_PASSING = ("date", "load_average_before", "load_average_after")
_ABSENT = "not there"
# Where code and pages happen to lie changes this much from build to build, and no round shows it.
_LEAST_SHARE = 0.01


class Measured(Protocol):
    """Results with the conditions that they were found under."""

    @property
    def environment(self) -> Mapping[str, Any]: ...
    @property
    def settings(self) -> Mapping[str, Any]: ...
    @property
    def bundle(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True)
class Change:
    """One number of one row on both sides.

    Attributes:
        what: the row, in words.
        percent: of `before`.
        noise_percent: what a change in this direction must exceed.
        one_round: whether a side has one round only, so that its noise is known too low.
    """

    what: str
    number: str
    before: float
    after: float
    percent: float
    noise_percent: float
    verdict: Verdict
    one_round: bool


@dataclass(frozen=True)
class Comparison:
    """Attributes:
    conditions: what differs in environment, settings and bundle: name -> both values, None where one lacks it.
    warnings: what makes the changes doubtful.
    changes: rows that both sides measured.
    unmatched: rows without a counterpart, or with a number on one side only, and where they are.
    """

    conditions: dict[str, tuple[Any, Any]]
    warnings: tuple[str, ...]
    changes: tuple[Change, ...]
    unmatched: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Conditions, warnings, changes and what has no counterpart, as plain values."""
        return asdict(self)

    def table(self) -> str:
        """For people; conditions first, for they may be why anything changed."""
        sections = [said_conditions(self.conditions), "\n".join(self.warnings)]
        cells = [["what", "number", "before", "after", "change", "noise", ""]]
        for one in self.changes:
            values = [f"{one.before:,.4g}", f"{one.after:,.4g}", f"{one.percent:+.1f} %", f"{one.noise_percent:.1f} %"]
            cells.append([one.what, one.number, *values, one.verdict])
        sections.append(aligned(cells) if self.changes else "No number is in both.")
        sections.append("\n".join(self.unmatched))
        return "\n\n".join(section for section in sections if section)


def compare_reports(before: BenchReport, after: BenchReport) -> Comparison:
    """What changed; rows are matched by what they measure."""
    old, new = ({_identity(row): row for row in report.rows} for report in (before, after))
    changes: list[Change] = []
    unmatched: list[str] = []
    for identity in dict.fromkeys([*old, *new]):
        first, second = old.get(identity), new.get(identity)
        what = _words(first or second)
        if first is None or second is None:
            unmatched.append(f"only {'after' if first is None else 'before'}: {what}")
            continue
        for number in _COMPARED:
            values = first.numbers.get(number), second.numbers.get(number)
            if None not in values:
                changes.append(_change(first, second, number, what))
            elif values != (None, None):
                side, other = ("after", first) if values[0] is None else ("before", second)
                unmatched.append(f"only {side}: {what}, {number} ({_reason(other)} on the other side)")
        if not first.numbers and not second.numbers:
            unmatched.append(f"neither: {what} ({_reason(first)}, then {_reason(second)})")
    return Comparison(
        differing_conditions(before, after),
        _warnings(before, after, changes),
        tuple(changes),
        tuple(unmatched),
    )


def _identity(row: Row) -> tuple[Any, ...]:
    # The SDK's own batch size is what it is: another one in another version is part of what changed.
    batch = None if row.own_batch else row.batch
    return row.mode, row.contender, row.device, row.graph, row.tokens, row.token_count, batch, row.load, row.unit, row.k


def _words(row: Row | None) -> str:
    assert row is not None
    parts = [row.contender, row.mode]
    if row.tokens:
        parts.append(f"{row.graph}, {row.token_count} {axis_name(row.tokens)}")
    if row.batch and (row.tokens or row.on_gpu) and not row.own_batch:
        parts.append(f"batch {row.batch}")
    if row.k:
        parts.append(f"k={row.k}")
    if row.load:
        parts.append(f"load {row.load:.0%}")
    return ", ".join(parts)


def _change(first: Row, second: Row, number: str, what: str) -> Change:
    (before, low, high), (after, other_low, other_high) = (_noise(row, number) for row in (first, second))
    more = after >= before
    floor = (high - before) + (after - other_low) if more else (before - low) + (other_high - after)
    floor = max(floor, _LEAST_SHARE * abs(before))
    apart = abs(after - before) > floor
    verdict: Verdict = "no difference" if not apart else "better" if more == _COMPARED[number] else "worse"
    scale = 100 / before if before else 0.0
    return Change(
        what,
        number,
        before,
        after,
        (after - before) * scale,
        floor * scale,
        verdict,
        min(first.rounds, second.rounds) < 2,
    )


def _noise(row: Row, number: str) -> tuple[float, float, float]:
    """A number and its interval; without one, as if it were exact."""
    value, low, high = (row.numbers.get(f"{number}{end}") for end in ("", "_low", "_high"))
    assert value is not None
    return value, value if low is None else low, value if high is None else high


def _reason(row: Row) -> str:
    return row.note or ("too few samples" if row.status == "measured" else row.status)


def differing_conditions(before: Measured, after: Measured) -> dict[str, tuple[Any, Any]]:
    """What differs in environment, settings and bundle: name -> both values, None where one lacks it."""
    old, new = _conditions(before), _conditions(after)
    names = dict.fromkeys([*old, *new])
    return {name: (old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name)}


def said_conditions(conditions: Mapping[str, tuple[Any, Any]]) -> str:
    """For people."""
    named = [f"  {name}: {_brief(old)} -> {_brief(new)}" for name, (old, new) in conditions.items()]
    return "\n".join(["Conditions that differ:", *named]) if named else "Conditions: the same."


def _conditions(report: Measured) -> dict[str, Any]:
    """One level of names to values: "versions.torch"."""
    found = {name: value for name, value in report.environment.items() if name not in _PASSING}
    return _flat({**found, "settings": report.settings, "bundle": report.bundle})


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    leaves: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            leaves |= _flat(value, f"{prefix}{name}.")
        else:
            leaves[prefix + name] = value
    return leaves


def _warnings(before: BenchReport, after: BenchReport, changes: list[Change]) -> tuple[str, ...]:
    found = []
    for side, report in (("before", before), ("after", after)):
        if report.environment.get("loaded_machine"):
            found.append(f"{side}: other work took about {report.environment['other_load']} cores meanwhile.")
        if not report.complete:
            found.append(f"{side}: the sweep did not finish.")
    if any(change.one_round for change in changes):
        found.append("One round on a side says little of how runs differ: its noise is larger than what is shown.")
    return tuple(found)


def _brief(value: Any) -> str:
    return _ABSENT if value is None else f"{value:.100}" if isinstance(value, str) else str(value)[:100]
