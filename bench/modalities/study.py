"""What each modality is worth: every variant of a family trained with several seeds, beside baselines.

    from mmkg_sdk.bench.modalities.study import measure_modalities
    measure_modalities("mygo", "emoji", "mygo.json", work="work", images="pictures")

or `mmkg-sdk bench study modalities mygo emoji --images pictures --work work --out mygo.json`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np

from mmkg_sdk.data.graph import DataSet
from mmkg_sdk.data.mentions import LinkingData
from mmkg_sdk.data.open import open_data
from mmkg_sdk.errors import DataError
from mmkg_sdk.families import contract

from ..machine.conditions import Watch
from ..quality.intervals import paired_interval
from ..report.written import check_out, write_study
from ..studies.own_process import in_own_process
from .data import entity_pictures, tokenized
from .neighbours import graph_neighbours, linking_neighbours, look_vectors, word_vectors
from .trained import Trained, check_study, read_trained, train_variant
from .variants import VARIANTS, Variant


def measure_modalities(
    family: str,
    source: str,
    out: str | Path,
    *,
    work: str | Path,
    images: str | Path | None = None,
    preset: str | None = None,
    settings: Mapping[str, Any] | None = None,
    variants: Sequence[str] = (),
    seeds: int = 3,
    threads: int | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Train what was not trained yet, and compare.

    Args:
        family: whose variants (variants.py).
        source: a knowledge graph with descriptions, or linking data, as `open_data` takes it.
        out: the JSON file to write.
        work: a folder for data sets, runs and what was found of each; a study that was stopped goes on there.
        images: a folder of pictures of the entities, for families that read tokens; None: those of the source.
        preset, settings: of all trainings, as `start_training` takes them.
        variants: names; empty takes all of the family.
        seeds: 1 to this, at least 2.
        threads: of the CPU; None takes `default_threads()`.

    Returns:
        What was written: conditions, "baselines" with their metrics, and "variants": metrics by name as mean and
        standard deviation over seeds; of all but the first the change of the MRR from the first, with its 95 %
        interval by the paired bootstrap over test items (of the means over seeds: how far trainings differ, the
        standard deviation says).

    Raises:
        DataError: an unknown variant, too few seeds, data that do not suit, pictures that lack or cannot be read,
            another study in `work`, or `out` cannot be written.
    """
    from mmkg_sdk.kernels import default_threads

    check_out(out)
    if seeds < 2:
        raise DataError(f"{seeds} seeds; expected at least 2, for without a second nobody knows what chance does.")
    chosen, opened, pictures = _chosen(family, variants), open_data(source), None if images is None else Path(images)
    if not isinstance(opened, DataSet | LinkingData):
        raise DataError(f"{source} holds sentences; expected a knowledge graph, or mentions and entities.")
    reads_tokens = contract.config_part(family).READS_TOKENS
    if reads_tokens and not isinstance(opened, DataSet):
        raise DataError(f"{source} holds mentions; {family} is trained on a knowledge graph. Name other data.")
    if pictures is not None and not reads_tokens:
        raise DataError(f"{family} sees the pictures that {source} comes with; leave --images out.")
    threads = default_threads() if threads is None else threads
    settings = {**(settings or {}), "threads": threads}
    work = Path(work)
    work.mkdir(parents=True, exist_ok=True)
    check_study(work, {"family": family, "data": source, "images": images, "preset": preset, "settings": settings})
    watch = Watch.start(threads)
    baselines = _baselines(opened, pictures)
    for name, metrics in baselines.items():
        say(f"{name}: MRR {100 * metrics['mrr']:.2f}")
    trained: dict[str, list[Trained]] = {variant.name: [] for variant in chosen}
    for seed in range(1, seeds + 1):
        for variant in chosen:
            data = source
            if reads_tokens:
                data = str(tokenized(source, pictures, variant, work))
            folder = work / f"{family}-{variant.name.replace(' ', '-').replace(',', '')}-{seed}"
            found = in_own_process(train_variant, family, data, preset, settings, variant, seed, folder)
            trained[variant.name].append(read_trained(found))
            say(f"{variant.name}, seed {seed}: MRR {100 * trained[variant.name][-1].metrics['mrr']:.2f}")
    watch.finish()
    result = {
        "what": "one model trained with and without its modalities, several seeds each, beside nearest neighbours",
        "environment": watch.found,
        "family": family,
        "data": opened.graph.name if isinstance(opened, DataSet) else opened.name,
        "preset": preset,
        "settings": settings,
        "seeds": seeds,
        "test items": len(trained[chosen[0].name][0].reciprocal_ranks),
        "baselines": baselines,
        "variants": [_row(variant, trained[variant.name], trained[chosen[0].name]) for variant in chosen],
    }
    write_study(result, out)
    return result


def _chosen(family: str, names: Sequence[str]) -> list[Variant]:
    """Some of a family's variants, the first of all in front."""
    known = {variant.name: variant for variant in VARIANTS[family]}
    for name in names:
        if name not in known:
            raise DataError(f"unknown variant {name!r:.80} of {family}; expected {', '.join(map(repr, known))}.")
    first = VARIANTS[family][0]
    return [variant for variant in known.values() if not names or variant is first or variant.name in names]


def _baselines(data: DataSet | LinkingData, images: Path | None) -> dict[str, dict[str, float]]:
    """Nearest neighbours by text, by looks, and by both."""
    if isinstance(data, LinkingData):
        texts = [f"{name} {text}" for name, text in zip(data.names, data.texts, strict=True)]
        texts += [f"{one.text} {one.sentence}" for one in data.test]
        shown = [*data.images, *(one.image for one in data.test)]
        pictures = [[] if image is None else [image] for image in shown]
    else:
        files = entity_pictures(data, images)
        texts = [data.descriptions.get(label, "") for label in data.graph.entities]
        pictures = [list(files.get(label, ())) for label in data.graph.entities]
    words, looks = word_vectors(texts), look_vectors(pictures)
    ways = {"text": words, "image": looks, "image and text": np.concatenate([looks, words], axis=1) / np.sqrt(2)}
    if isinstance(data, LinkingData):
        count = len(data.entities)
        found = {name: linking_neighbours(way[:count], way[count:], data) for name, way in ways.items()}
    else:
        found = {name: graph_neighbours(data, way) for name, way in ways.items()}
    return {f"neighbours by {name}": metrics for name, metrics in found.items()}


def _row(variant: Variant, trained: Sequence[Trained], first: Sequence[Trained]) -> dict[str, Any]:
    """A variant's figures over seeds, beside the first variant's."""
    row: dict[str, Any] = {
        "name": variant.name,
        "settings": dict(variant.settings),
        "dropped": dict(variant.dropped),
        "pictures": variant.pictures,
        "image_model": variant.image_model,
        "mrr": [one.metrics["mrr"] for one in trained],
        "metrics": {
            name: {"mean": mean(values), "deviation": stdev(values)}
            for name in trained[0].metrics
            if (values := [one.metrics[name] for one in trained])
        },
        "seconds": [one.seconds for one in trained],
        "epochs": [one.epochs for one in trained],
    }
    if trained is first:
        return row
    ours, theirs = (np.mean([one.reciprocal_ranks for one in some], axis=0)[:, None] for some in (trained, first))
    low, high = paired_interval(theirs, [ours], lambda sums, count: sums[..., 0] / count)
    change = row["metrics"]["mrr"]["mean"] - mean(one.metrics["mrr"] for one in first)
    return row | {"change": change, "interval": [low, high]}
