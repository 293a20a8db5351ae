"""How long it takes until an entity that nobody knew, given by a word and a picture, is a candidate and has answers.

    from mmkg_sdk.bench.modalities.newcomers import measure_newcomers
    measure_newcomers("bundle", "newcomers.json", images="pictures")

or `mmkg-sdk bench study newcomers BUNDLE --images PICTURES`. torch cannot be imported meanwhile.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mmkg_sdk.data.entity_images import picture_groups
from mmkg_sdk.errors import DataError

from ..machine.conditions import Watch
from ..report.written import check_out, write_study
from ..studies.own_process import in_own_process

_WARM_UP = 5
_ANSWERS = 10


def measure_newcomers(
    bundle: str | Path,
    out: str | Path,
    *,
    images: str | Path,
    most: int = 1000,
    threads: int | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Add one entity after the other, and ask each for its answers.

    Args:
        bundle: of link prediction, which takes words and pictures.
        out: the JSON file to write.
        images: a folder of pictures, as `mmkg-sdk data tokenize --images` takes it; each is an entity whose text is the
            name of its file or folder.
        most: of them, at most.
        threads: of the CPU; None takes `default_threads()`.

    Returns:
        What was written: conditions, how many there were, and milliseconds of `first` (the encoder is made) and of the
        others: `median`, `p99` (None below 299 of them), `most`, of which `added_median` passes until it is
        a candidate.

    Raises:
        DataError: too few pictures, or `out` cannot be written.
        QueryError: the bundle takes no words and pictures.
    """
    from mmkg_sdk.kernels import default_threads

    check_out(out)
    named = [(name, files[0]) for name, files in sorted(picture_groups(Path(images)).items())][:most]
    if len(named) <= _WARM_UP:
        raise DataError(f"{images} has {len(named)} pictures; expected more than {_WARM_UP}.")
    threads = default_threads() if threads is None else threads
    watch = Watch.start(threads, Path(bundle))
    added, answered = in_own_process(_measured, Path(bundle), named, threads)
    watch.finish()
    times = np.array(answered)
    later = times[_WARM_UP:]
    result = {
        "what": "entities given by a word and a picture: added to an open model and asked, one by one, without torch",
        "environment": watch.found,
        "entities": len(named),
        "milliseconds": {
            "first": round(float(times[0]), 3),
            "median": round(float(np.median(later)), 3),
            "p99": round(float(np.quantile(later, 0.99)), 3) if len(later) >= 299 else None,
            "most": round(float(later.max()), 3),
            "added_median": round(float(np.median(added[_WARM_UP:])), 3),
        },
    }
    say(f"milliseconds: {result['milliseconds']}")
    write_study(result, out)
    return result


def _measured(bundle: Path, named: list[tuple[str, Path]], threads: int) -> tuple[list[float], list[float]]:
    """Milliseconds of each until it is added, and until it has its answers."""
    sys.modules["torch"] = None  # type: ignore[assignment]
    from mmkg_sdk.answering.link_prediction import Model

    added, answered = [], []
    with Model.load(bundle, device="cpu", threads=threads) as model:
        relation = model.relations[0]
        for row, (name, picture) in enumerate(named):
            label = f"newcomer {row}"
            began = time.perf_counter()
            model.add_entities([label], texts=[name], images=[picture])
            added.append(1000 * (time.perf_counter() - began))
            answers = model.predict_tails(label, relation, k=_ANSWERS)[0].labels
            assert answers
            answered.append(1000 * (time.perf_counter() - began))
    return added, answered
