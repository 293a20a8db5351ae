"""Races: the compiled kernels and their peers at the same work on random numbers, side by side.

Every contender has a process of its own, and those that fit in memory together take turns (turns.py). Beside every
time stands how right the answers are, by float64; the work, the bytes read, and what the machine's ceilings, measured
in the same run, make of them (work.py).
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from mmkg_sdk.errors import DataError, QueryError
from mmkg_sdk.files.atomic import write_atomically
from mmkg_sdk.ranking.scores import CandidateScore, ComplexDistance, InnerProduct

from ..machine.ceilings import Ceilings, measure_ceilings
from ..machine.environment import environment, is_loaded, load_average, moment, other_load, usable_cores
from ..machine.work import Work
from .exact_answers import COMPARED_QUERIES, exact_answers
from .peers import PACKAGES, RANKERS, takes_part
from .tucker import TUCKER_WAYS, TuckerPoint
from .turns import take_turns

FORMAT_VERSION = 1
_LIMITS = {"rows": 1 << 27, "width": 1 << 16, "batch": 1 << 16, "k": 1 << 16}
# The core of a wider one has more numbers than a process should make.
_WIDEST_CORE = 1024


@dataclass(frozen=True)
class Point:
    """One task: the k best of `rows` vectors of `width` numbers, for `batch` queries at once."""

    score: Literal["inner-product", "distance"]
    rows: int
    width: int
    batch: int
    k: int
    seed: int = 0

    @property
    def candidate_score(self) -> CandidateScore:
        return InnerProduct() if self.score == "inner-product" else ComplexDistance(0.0)

    def work(self, number_bytes: int, arithmetic: str) -> Work:
        """Of one batch: all products, or four operations for each coordinate of a distance (a modulus counts as eight
        with its root); the table read once in the precision that it is kept in."""
        flop = self.batch * self.rows * self.width * (2 if self.score == "inner-product" else 4)
        return Work(flop, self.rows * self.width * number_bytes, arithmetic)


def run_race(
    points: Sequence[Point] | Sequence[TuckerPoint],
    out: str | Path,
    *,
    contenders: Sequence[str] | None = None,
    threads: int | None = None,
    seconds: float = 1.0,
    rounds: int = 3,
    limit_s: float = 60.0,
    ceilings: Ceilings | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Race at every point and write a JSON file, anew after each.

    Args:
        points: of one kind, rankings or Tucker products.
        out: the file.
        contenders: names from RANKERS or TUCKER_WAYS; None takes all. One that cannot run is a row that says why.
        threads: of each; None = all cores that this process may use.
        seconds: measuring time per contender, point and round.
        limit_s: a ranking that is expected to take longer for one batch is a row without a time.
        ceilings: of this machine, where the caller measured them just now; None measures them.

    Returns:
        What was written: "rows", one per point and contender, with ms_p50, ms_min, ms_max and what turns.py adds; the
        machine's "ceilings"; "settings"; "environment".

    Raises:
        QueryError: a size or setting out of range, an unknown contender, or `out` is a folder.
    """
    threads = usable_cores() if threads is None else threads
    known = TUCKER_WAYS if points and isinstance(points[0], TuckerPoint) else RANKERS
    chosen = list(known) if contenders is None else list(contenders)
    _check(points, chosen, known, threads, seconds, rounds, limit_s)
    if Path(out).is_dir():
        raise QueryError(f"{out} is a folder; expected a file to write, such as {Path(out) / 'race.json'}.")
    if ceilings is None:
        progress("measuring what the machine can do")
        ceilings = measure_ceilings(threads, seconds)
    result: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "race": "tucker" if known is TUCKER_WAYS else "ranking",
        "complete": False,
        "settings": {"threads": threads, "seconds": seconds, "rounds": rounds, "limit_s": limit_s},
        "ceilings": ceilings.to_json(),
        "rows": [],
        "environment": environment(threads=threads, packages=PACKAGES) | {"load_average_before": load_average()},
    }
    began = moment()
    turns = {"threads": threads, "seconds": seconds, "rounds": rounds}
    with tempfile.TemporaryDirectory() as folder:
        exact = _ExactFiles(Path(folder), points)
        for point in points:
            progress(point_name(asdict(point)))
            if isinstance(point, TuckerPoint):
                result["rows"] += _race_tucker(point, chosen, ceilings, turns)
            else:
                result["rows"] += _race_ranking(point, chosen, exact.file(point), ceilings, turns, limit_s)
            _write(Path(out), result)
    load = other_load(began, moment())
    result["complete"] = True
    result["environment"] |= {"other_load": load, "loaded_machine": is_loaded(load, usable_cores())}
    _write(Path(out), result)
    return result


def read_race(path: str | Path) -> dict[str, Any]:
    """A race from its file.

    Raises:
        DataError: it cannot be read, or is none of this format.
    """
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
        if found["format_version"] != FORMAT_VERSION:
            raise ValueError(f"format version {found['format_version']!r:.20}, this mmkg_sdk reads {FORMAT_VERSION}")
        Ceilings.from_json(found["ceilings"])
        if not all({"point", "contender", "status", "ms_p50", "note"} <= set(row) for row in found["rows"]):
            raise ValueError("a row is not complete")
    except (OSError, KeyError, TypeError, ValueError) as err:
        raise DataError(
            f"{path} is no result of `mmkg-sdk bench race` ({type(err).__name__}: {err}). Race again."
        ) from err
    result: dict[str, Any] = found
    return result


def point_name(point: dict[str, Any]) -> str:
    """In words."""
    if "rows" not in point:
        return f"Tucker product, width {point['width']}, batch {point['batch']:,}"
    return f"{point['score']}, {point['rows']:,} x {point['width']}, batch {point['batch']:,}, k={point['k']}"


class _ExactFiles:
    """The exact answers of every table, calculated when first asked for, with the largest k and batch of its points."""

    def __init__(self, folder: Path, points: Iterable[Point | TuckerPoint]) -> None:
        self._folder = folder
        self._points = [point for point in points if isinstance(point, Point)]

    def file(self, point: Point) -> Path:
        same = [one for one in self._points if _table(one) == _table(point)]
        path = self._folder / f"{self._points.index(same[0])}.npz"
        if not path.is_file():
            k, batch = max(one.k for one in same), max(one.batch for one in same)
            exact_answers(point.rows, point.width, point.seed, point.candidate_score, batch, k).save(path)
        return path


def _table(point: Point) -> tuple[Any, ...]:
    return point.score, point.rows, point.width, point.seed


def _race_ranking(
    point: Point, names: Sequence[str], exact: Path, ceilings: Ceilings, turns: dict[str, Any], limit_s: float
) -> list[dict[str, Any]]:
    absent = {name: note for name in names if (note := takes_part(name, point.candidate_score))}
    common = {"race": "ranking", "point": asdict(point), "threads": turns["threads"], "limit_s": limit_s}
    jobs = {name: {"name": name, "exact": str(exact), **common} for name in names if name not in absent}
    needed = {name: RANKERS[name].needed_bytes(point.rows, point.width, point.batch) for name in jobs}
    found = take_turns(jobs, needed, **turns)
    rows = []
    for name in names:
        ranker = RANKERS[name]
        row = {"point": asdict(point), "contender": name, "approximate": ranker.approximate}
        if name in absent:
            row |= {"status": "not measured", "note": absent[name], "samples": 0, "ms_p50": None}
        else:
            row |= found[name].row(point.work(ranker.number_bytes, ranker.arithmetic), ceilings)
            row["compared_queries"] = min(point.batch, COMPARED_QUERIES)
        rows.append(row)
    return rows


def _race_tucker(
    point: TuckerPoint, names: Sequence[str], ceilings: Ceilings, turns: dict[str, Any]
) -> list[dict[str, Any]]:
    jobs = {
        name: {"race": "tucker", "name": name, "point": asdict(point), "threads": turns["threads"]} for name in names
    }
    found = take_turns(jobs, {name: TUCKER_WAYS[name].needed_bytes(point) for name in names}, **turns)
    rows = []
    for name in names:
        way = TUCKER_WAYS[name]
        work = point.work(way.number_bytes, way.arithmetic)
        rows.append({"point": asdict(point), "contender": name, **found[name].row(work, ceilings)})
    return rows


def _write(path: Path, result: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, (json.dumps(result, indent=1, allow_nan=False) + "\n").encode())


def _check(
    points: Sequence[Point] | Sequence[TuckerPoint],
    chosen: Sequence[str],
    known: Iterable[str],
    threads: int,
    seconds: float,
    rounds: int,
    limit_s: float,
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
    if not 1 <= threads <= 1024 or not 0 < seconds <= 3600 or not 1 <= rounds <= 100 or not 0 < limit_s <= 600:
        raise QueryError(
            f"threads {threads}, seconds {seconds}, rounds {rounds}, limit_s {limit_s}; expected 1 to 1,024, up to "
            "3,600, 1 to 100, and up to 600."
        )
