"""Races: the compiled kernels and their peers at the same work on random numbers, side by side.

Every contender has a process of its own, and those that fit in memory together take turns (groups.py). Beside every
time stands how right the answers are, by float64; the work, the bytes read, and what the machine's ceilings, measured
in the same run, make of them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from mmkg_sdk.backends.base import parse_device
from mmkg_sdk.errors import QueryError
from mmkg_sdk.kernels import default_threads
from mmkg_sdk.kernels.library import instruction_set_number

from ..machine.ceilings import Ceilings, measure_ceilings
from ..machine.conditions import Watch
from ..machine.turns import check_turns
from .exact_answers import COMPARED_QUERIES, exact_answers
from .groups import take_turns
from .peers import PACKAGES, RANKERS
from .points import Point
from .rankers import Ranker
from .results import FORMAT_VERSION, point_name, write_race
from .tucker import TUCKER_WAYS, TuckerPoint, TuckerWay

_LIMITS = {"rows": 1 << 27, "width": 1 << 16, "batch": 1 << 16, "k": 1 << 16}
# The core of a wider one has more numbers than a process should make.
_WIDEST_CORE = 1024


def run_race(
    points: Sequence[Point] | Sequence[TuckerPoint],
    out: str | Path,
    *,
    contenders: Sequence[str] | None = None,
    device: str = "cpu",
    threads: int | None = None,
    seconds: float = 1.0,
    rounds: int = 3,
    limit_s: float = 60.0,
    instruction_set: str | None = None,
    ceilings: Ceilings | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Race at every point and write a JSON file, anew after each.

    Args:
        points: of one kind, rankings or Tucker products.
        out: the file.
        contenders: names from RANKERS or TUCKER_WAYS; None takes all. One that cannot run is a row that says why.
        device: where they run.
        threads: of each; None takes `default_threads()`.
        seconds: measuring time per contender, point and round.
        limit_s: a ranking that is expected to take longer for one batch is a row without a time.
        instruction_set: what the compiled kernels run on, one of `kernels.instruction_sets()`; None takes the best. The
            libraries of other contenders choose for themselves.
        ceilings: of this machine, where the caller measured them just now; None measures them.

    Returns:
        What was written: "rows", one per point and contender, with ms_p50, ms_min, ms_max and what groups.py adds; the
        machine's "ceilings"; "settings"; "environment".

    Raises:
        QueryError: a size or setting out of range, an unknown contender, none that runs on the device, or `out` is a
            folder.
        BackendError: no name of a device, or no such instruction set here.
    """
    instruction_set_number(instruction_set)
    threads, path = default_threads() if threads is None else threads, Path(out)
    tucker = bool(points) and isinstance(points[0], TuckerPoint)
    known: Iterable[str] = TUCKER_WAYS if tucker else RANKERS
    chosen = list(known) if contenders is None else list(contenders)
    _check(points, chosen, known, limit_s)
    check_turns(threads, seconds, rounds)
    _check_device(device, chosen, TUCKER_WAYS if tucker else RANKERS)
    if path.is_dir():
        raise QueryError(f"{out} is a folder; expected a file to write, such as {path / 'race.json'}.")
    if ceilings is None:
        progress("measuring what the machine can do")
        ceilings = measure_ceilings(device, threads, seconds, instruction_set)
    watch = Watch.start(threads, packages=PACKAGES, device=device)
    settings = {"threads": threads, "seconds": seconds, "rounds": rounds, "limit_s": limit_s, "device": device}
    settings["instruction_set"] = instruction_set
    result: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "race": "tucker" if tucker else "ranking",
        "complete": False,
        "settings": settings,
        "ceilings": ceilings.to_json(),
        "rows": [],
        "environment": watch.found,
    }
    turns = partial(take_turns, threads=threads, seconds=seconds, rounds=rounds)
    job = {"race": result["race"], "device": device, "threads": threads, "limit_s": limit_s}
    job["instruction_set"] = instruction_set
    with tempfile.TemporaryDirectory() as folder:
        exact = _ExactFiles(Path(folder), points)
        for point in points:
            progress(point_name(asdict(point)))
            result["rows"] += _race(point, chosen, job | exact.of(point), ceilings, turns)
            write_race(result, path)
    watch.finish()
    result["complete"] = True
    write_race(result, path)
    return result


def _race(
    point: Point | TuckerPoint,
    names: Sequence[str],
    job: dict[str, Any],
    ceilings: Ceilings,
    turns: Callable[..., Any],
) -> list[dict[str, Any]]:
    """The rows of one point."""
    ways: dict[str, Any] = TUCKER_WAYS if isinstance(point, TuckerPoint) else RANKERS
    absent = {name: note for name in names if (note := ways[name].absence(point, job["device"]))}
    jobs = {name: {**job, "name": name, "point": asdict(point)} for name in names if name not in absent}
    found = turns(jobs, {name: ways[name].needed_bytes(point) for name in jobs})
    rows = []
    for name in names:
        way: Any = ways[name]
        row: dict[str, Any] = {"point": asdict(point), "contender": name}
        if isinstance(point, Point):
            row["approximate"] = way.approximate
        if name in absent:
            row |= {"status": "not measured", "note": absent[name], "samples": 0, "ms_p50": None}
        else:
            row |= found[name].row(point.work(way.number_bytes, way.arithmetic), ceilings)
            if isinstance(point, Point):
                row["compared_queries"] = min(point.batch, COMPARED_QUERIES)
        rows.append(row)
    return rows


class _ExactFiles:
    """The exact answers of every table, calculated when first asked for, with the largest k and batch of its points."""

    def __init__(self, folder: Path, points: Iterable[Point | TuckerPoint]) -> None:
        self._folder = folder
        self._points = [point for point in points if isinstance(point, Point)]

    def of(self, point: Point | TuckerPoint) -> dict[str, str]:
        """What a job says of them; Tucker products have none."""
        if isinstance(point, TuckerPoint):
            return {}
        same = [one for one in self._points if one.table == point.table]
        path = self._folder / f"{self._points.index(same[0])}.npz"
        if not path.is_file():
            k, batch = max(one.k for one in same), max(one.batch for one in same)
            exact_answers(point.rows, point.width, point.seed, point.candidate_score, batch, k).save(path)
        return {"exact": str(path)}


def _check_device(device: str, chosen: Sequence[str], ways: Mapping[str, Ranker] | Mapping[str, TuckerWay]) -> None:
    kind, _ = parse_device(device)
    if not any(kind in ways[name].devices for name in chosen):
        raise QueryError(
            f"none of {', '.join(chosen)} runs on {device}: this race is one of processors. A GPU is measured by "
            "`mmkg-sdk bench gpu`."
        )


def _check(
    points: Sequence[Point] | Sequence[TuckerPoint], chosen: Sequence[str], known: Iterable[str], limit_s: float
) -> None:
    for point in points:
        for name, most in _LIMITS.items():
            if hasattr(point, name) and not 1 <= getattr(point, name) <= most:
                raise QueryError(f"{name} is {getattr(point, name)}; expected 1 to {most:,}.")
        if isinstance(point, TuckerPoint):
            if point.width > _WIDEST_CORE:
                raise QueryError(f"width is {point.width}; a core is raced up to {_WIDEST_CORE:,}.")
            continue
        if point.k > point.rows:
            raise QueryError(f"k is {point.k}, but there are {point.rows} rows; expected at most as many.")
        if point.score == "distance" and point.width % 2:
            raise QueryError(f"width is {point.width}; a distance needs real and imaginary parts, so an even number.")
    for name in chosen:
        if name not in known:
            raise QueryError(f"unknown contender {name!r}; expected some of {', '.join(known)}.")
    if not points or not chosen:
        raise QueryError("nothing to race: expected at least one point and one contender.")
    if not 0 < limit_s <= 600:
        raise QueryError(f"limit_s is {limit_s}; expected more than 0, at most 600.")
