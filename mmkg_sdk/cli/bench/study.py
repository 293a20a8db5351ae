"""mmkg-sdk bench study: measurements that answer one question each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..options import bundle_argument, family_type, json_option, print_json, say, set_option
from ..settings import parse_assignments
from ..threads import threads_option as default_threads_option
from .options import device_option, threads_option

_out_option = click.option(
    "--out", type=click.Path(path_type=Path), help="File for the results. Default: NAME.json in this folder."
)


@click.group()
def study() -> None:
    """Answer one question by measuring."""


@study.command()
@click.argument("source")
@click.option("--precision", type=click.Choice(["fp32", "fp16", "bf16"]), default="fp16", show_default=True)
@click.option(
    "--seconds",
    type=click.FloatRange(0, 86400, min_open=True),
    default=240.0,
    show_default=True,
    help="How long to rank; the time of mentions that are not reached is extrapolated, and the result says so.",
)
@device_option
@threads_option
@_out_option
@json_option
def linking(
    source: str, precision: str, seconds: float, device: str, threads: int | None, out: Path | None, as_json: bool
) -> None:
    """How fast, and in how much memory, MIMIC ranks mentions against all candidates of SOURCE (random weights)."""
    from ...bench.studies.linking import measure_linking

    path = out or Path("linking.json")
    settings: dict[str, Any] = {"precision": precision, "seconds": seconds, "device": device, "threads": threads}
    _tell(measure_linking(source, path, say=say, **settings), path, as_json)


@study.command()
@click.argument("folder", type=click.Path(path_type=Path))
@device_option
@threads_option
@_out_option
@json_option
def pairs(folder: Path, device: str, threads: int | None, out: Path | None, as_json: bool) -> None:
    """Ways to score pairs of mentions and candidates, for the MIMIC in FOLDER/run and its bundle in FOLDER/bundle."""
    from ...bench.studies.pairs import measure_pairs

    path = out or Path("pairs.json")
    _tell(measure_pairs(folder, path, device=device, threads=threads, say=say), path, as_json)


@study.command()
@click.option("--batch", type=click.IntRange(1), default=4, show_default=True, help="Queries in a run.")
@click.option("--text-tokens", type=click.IntRange(4), default=64, show_default=True, help="Tokens of each query.")
@click.option(
    "--seconds",
    type=click.FloatRange(0, 3600, min_open=True),
    default=8.0,
    show_default=True,
    help="Measuring time in seconds of each point.",
)
@device_option
@click.option("--threads", type=click.IntRange(1, 1024), default=1, show_default=True, help="CPU threads of torch.")
@_out_option
@json_option
def mkgformer(
    batch: int, text_tokens: int, seconds: float, device: str, threads: int, out: Path | None, as_json: bool
) -> None:
    """What each exact rewrite of MKGformer's link prediction saves, at the published sizes (random weights)."""
    from ...bench.studies.mkgformer import measure_rewrites

    path = out or Path("mkgformer.json")
    settings: dict[str, Any] = {"text_tokens": text_tokens, "seconds": seconds, "device": device, "threads": threads}
    _tell(measure_rewrites(path, batch=batch, say=say, **settings), path, as_json)


@study.command()
@click.option("--instruction-set", help="What the compiled kernels run on, such as avx2. Default: the best there is.")
@click.option(
    "--seconds",
    type=click.FloatRange(0, 3600, min_open=True),
    default=1.0,
    show_default=True,
    help="Measuring time in seconds of each contender, layer, batch and round.",
)
@threads_option
@_out_option
@json_option
def layers(instruction_set: str | None, seconds: float, threads: int | None, out: Path | None, as_json: bool) -> None:
    """Encoder, query transformer and MIMIC's pairs by the compiled kernels and ONNX Runtime (random weights, CPU)."""
    from ...bench.studies.layers import measure_layers

    path = out or Path("layers.json")
    settings: dict[str, Any] = {"instruction_set": instruction_set, "seconds": seconds, "threads": threads}
    _tell(measure_layers(path, say=say, **settings), path, as_json)


@study.command()
@bundle_argument
@click.option("--rows", type=click.IntRange(10), default=100_000, show_default=True, help="Queries of a file.")
@click.option("-k", "count", type=click.IntRange(1, 3840), default=10, show_default=True, help="Answers of each.")
@click.option("--rounds", type=click.IntRange(1, 100), default=3, show_default=True, help="Turns of each way.")
@threads_option
@_out_option
@json_option
def batches(
    bundle: Path, rows: int, count: int, rounds: int, threads: int | None, out: Path | None, as_json: bool
) -> None:
    """How fast files of queries are answered, and in how much memory, beside lists of them (Linux)."""
    from ...bench.studies.batches import measure_batches

    path = out or Path("batches.json")
    settings: dict[str, Any] = {"rows": rows, "k": count, "rounds": rounds, "threads": threads}
    _tell(measure_batches(bundle, path, say=say, **settings), path, as_json)


@study.command()
@click.option("--entities", type=click.IntRange(1000), default=1_000_000, show_default=True)
@click.option("--triples", type=click.IntRange(1), default=5_000_000, show_default=True, help="Known triples.")
@click.option("--width", type=click.IntRange(2), default=256, show_default=True, help="Numbers of an entity.")
@click.option(
    "--bundle",
    type=click.Path(path_type=Path),
    help="Where the bundle is kept, and taken from if it stands there. Default: it is removed at the end.",
)
@threads_option
@_out_option
@json_option
def million(
    entities: int,
    triples: int,
    width: int,
    bundle: Path | None,
    threads: int | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """What a bundle of so many entities costs: opening it, queries, candidates, one more entity (Linux)."""
    from ...bench.studies.million import measure_million

    path = out or Path("million.json")
    sizes: dict[str, Any] = {"entities": entities, "triples": triples, "width": width}
    _tell(measure_million(path, folder=bundle, threads=threads, say=say, **sizes), path, as_json)


@study.command()
@click.option("--entities", type=click.IntRange(1000), default=10_000, show_default=True, help="Of the bundle.")
@click.option("--added", type=click.IntRange(1), default=20_000, show_default=True, help="Entities added in one call.")
@click.option("--width", type=click.IntRange(2), default=64, show_default=True, help="Numbers of an entity.")
@threads_option
@_out_option
@json_option
def growing(entities: int, added: int, width: int, threads: int | None, out: Path | None, as_json: bool) -> None:
    """What it costs to add many entities at once, beside encoding them alone (random weights, CPU, Linux)."""
    from ...bench.studies.growing import measure_growing

    path = out or Path("growing.json")
    sizes: dict[str, Any] = {"entities": entities, "added": added, "width": width}
    _tell(measure_growing(path, threads=threads, say=say, **sizes), path, as_json)


@study.command()
@click.option("--entities", type=click.IntRange(100), default=40_943, show_default=True)
@click.option("--triples", type=click.IntRange(1), default=10_240, show_default=True, help="Of the training split.")
@click.option("--width", type=click.IntRange(2), default=32, show_default=True, help="Numbers of an entity.")
@click.option("--sampled", type=click.IntRange(1), default=1024, show_default=True, help="MyGO's sampled_entities.")
@threads_option
@_out_option
@json_option
def training(
    entities: int, triples: int, width: int, sampled: int, threads: int | None, out: Path | None, as_json: bool
) -> None:
    """How fast MyGO trains on a graph of many entities (random triples, CPU)."""
    from ...bench.studies.training import measure_training

    path = out or Path("training.json")
    sizes: dict[str, Any] = {"entities": entities, "triples": triples, "width": width, "sampled": sampled}
    _tell(measure_training(path, threads=threads, say=say, **sizes), path, as_json)


@study.command()
@click.option("--entities", type=click.IntRange(100), default=40_943, show_default=True)
@click.option("--width", type=click.IntRange(1), default=250, show_default=True, help="Complex numbers of an entity.")
@default_threads_option
@_out_option
@json_option
def exporting(entities: int, width: int, out: Path | None, as_json: bool) -> None:
    """Time and memory that the export of a large AdaMF-MAT takes (random weights, CPU)."""
    from ...bench.studies.exporting import measure_exporting

    path = out or Path("exporting.json")
    _tell(measure_exporting(path, entities=entities, width=width, say=say), path, as_json)


@study.command()
@click.argument("family", type=family_type)
@default_threads_option
@_out_option
@json_option
def quickstart(family: str, out: Path | None, as_json: bool) -> None:
    """How long the quickstart of FAMILY takes, stage by stage, and what its bundles answer."""
    from ...bench.studies.quickstart import measure_quickstart

    path = out or Path("quickstart.json")
    _tell(measure_quickstart(family, path, say=say), path, as_json)


@study.command()
@bundle_argument
@click.option("--rates", default="25,50,100,200,400", show_default=True, help="Queries per second, commas between.")
@click.option("--seconds", type=click.IntRange(1), default=10, show_default=True, help="How long each is held.")
@click.option("--threads", type=click.IntRange(1, 1024), default=1, show_default=True, help="Of the replica.")
@_out_option
@json_option
def serving(bundle: Path, rates: str, seconds: int, threads: int, out: Path | None, as_json: bool) -> None:
    """How `mmkg-sdk serve BUNDLE` answers under load that does not wait for it (needs httperf)."""
    from ...bench.studies.serving import measure_serving

    path = out or Path("serving.json")
    asked = [int(rate) for rate in rates.split(",") if rate.isascii() and rate.isdecimal() and 0 < int(rate) <= 100_000]
    if len(asked) != len(rates.split(",")):
        raise click.UsageError(f"--rates is {rates!r:.80}; expected whole numbers with commas between.")
    _tell(measure_serving(bundle, path, rates=asked, seconds=seconds, threads=threads, say=say), path, as_json)


@study.command()
@bundle_argument
@click.option("--queries", type=click.IntRange(1), default=1_000_000, show_default=True)
@click.option("--actors", type=click.IntRange(1, 1024), default=2, show_default=True, help="Processes, at most.")
@click.option("--threads", type=click.IntRange(1, 1024), default=1, show_default=True, help="Of each process.")
@_out_option
@json_option
def actors(bundle: Path, queries: int, actors: int, threads: int, out: Path | None, as_json: bool) -> None:
    """What actors of Ray Data gain over one process."""
    from ...bench.studies.actors import measure_actors

    path = out or Path("actors.json")
    _tell(measure_actors(bundle, path, queries=queries, actors=actors, threads=threads, say=say), path, as_json)


@study.command()
@click.argument("family", type=family_type)
@click.argument("source")
@click.option("--images", type=click.Path(path_type=Path), help="Folder of pictures. Default: those of SOURCE.")
@click.option(
    "--work", type=click.Path(path_type=Path), required=True, help="Folder for the runs; a study goes on from it."
)
@click.option("--preset", help="Of all trainings, as `train` takes it.")
@set_option
@click.option("--variant", "variants", multiple=True, help="One of the family's variants; repeatable. Default: all.")
@click.option("--seeds", type=click.IntRange(2, 100), default=3, show_default=True, help="Trainings of each.")
@threads_option
@_out_option
@json_option
def modalities(
    family: str,
    source: str,
    images: Path | None,
    work: Path,
    preset: str | None,
    assignments: tuple[str, ...],
    variants: tuple[str, ...],
    seeds: int,
    threads: int | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """What image and text are worth to FAMILY: trainings on SOURCE with and without them, beside nearest neighbours."""
    from ...bench.modalities.study import measure_modalities

    path = out or Path("modalities.json")
    how: dict[str, Any] = {"preset": preset, "settings": parse_assignments(assignments), "variants": variants}
    _tell(
        measure_modalities(
            family, source, path, work=work, images=images, seeds=seeds, threads=threads, say=say, **how
        ),
        path,
        as_json,
    )


@study.command()
@bundle_argument
@click.option("--images", type=click.Path(path_type=Path), required=True, help="Folder of pictures of the entities.")
@click.option("--most", type=click.IntRange(6, 1_000_000), default=1000, show_default=True, help="Entities at most.")
@threads_option
@_out_option
@json_option
def newcomers(bundle: Path, images: Path, most: int, threads: int | None, out: Path | None, as_json: bool) -> None:
    """How long BUNDLE takes to add an entity given by a word and a picture, and to answer for it, without torch."""
    from ...bench.modalities.newcomers import measure_newcomers

    path = out or Path("newcomers.json")
    _tell(measure_newcomers(bundle, path, images=images, most=most, threads=threads, say=say), path, as_json)


def _tell(result: dict[str, Any], path: Path, as_json: bool) -> None:
    """What was found; the times were said while they came."""
    if as_json:
        print_json(result)
    say(f"results in {path}")
